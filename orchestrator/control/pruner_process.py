"""Pruner classes of the user's own, each study's in a process of its own beside the loop.

Such a class may hang, crash or eat memory. The loop never waits for it: a thread hands the question over, waits for
the answer as long as the limits allow, and wakes the loop.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.common.errors import BadInput
from orchestrator.common.settings import PREFIX
from orchestrator.sampling.pruner_host import has_own_class
from orchestrator.sampling.remote_pruner import Answer, Question
from orchestrator.spec import Spec

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
"""Time between two looks at the memory of a pruner that is at work."""

_RULES = ("pruner", "shadow", "audit", "objectives", "max_steps", "trials")
"""Keys of a spec from which the process is made."""


@dataclass(frozen=True)
class Limits:
    """Limits of one study's pruner.

    Attributes:
        start_seconds: Time until its class is imported and made.
        answer_seconds: Time for one answer.
        memory: Bytes beyond those it had when it was ready.
    """

    start_seconds: float = 120.0
    answer_seconds: float = 10.0
    memory: int = 2 << 30


class PrunerFailed(Exception):
    """A pruner of the user's own could not answer; the message is one line."""


class PrunerProcess:
    """One study's pruner.

    Args:
        spec: The search.
        wake: Called from another thread when there is something to take.
        limits: What it may take.
    """

    def __init__(self, spec: Spec, wake: Callable[[], None], limits: Limits) -> None:
        self.spec = spec
        self._name = " and ".join(table.name for table in (spec.pruner, spec.shadow) if table.own_class)
        self._wake = wake
        self._limits = limits
        self._questions: queue.SimpleQueue[Question | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Answer | Exception] = queue.SimpleQueue()
        self._killing = threading.Lock()
        self._ended = False
        self.ready = False
        self.refused: BadInput | None = None
        self._pipe, theirs = Pipe()
        with theirs:
            descriptor = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "orchestrator.control.pruner_server", str(descriptor), str(os.getpid())],
                pass_fds=[descriptor],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={name: value for name, value in os.environ.items() if not name.startswith(PREFIX)},
                start_new_session=True,
            )
        self._thread = threading.Thread(target=self._serve, name=f"pruner-{spec.name}", daemon=True)
        self._thread.start()

    def ask(self, question: Question) -> None:
        """Hands a question over, and returns at once."""
        self._questions.put(question)

    def take(self) -> Answer | Exception | None:
        """Returns an answer, or why there is none; ``None`` while there is nothing."""
        try:
            return self._results.get_nowait()
        except queue.Empty:
            return None

    def close(self) -> None:
        """Ends the process."""
        self._ended = True
        self._questions.put(None)
        self._kill()
        self._thread.join()

    def _serve(self) -> None:
        decoder = msgspec.msgpack.Decoder(Answer)
        with self._pipe as pipe:
            try:
                self._start(pipe)
                baseline = self._memory()
                while (question := self._questions.get()) is not None:
                    pipe.send(question)
                    kind, content = self._receive(pipe, self._limits.answer_seconds, baseline)
                    if kind == "failed":
                        raise PrunerFailed(content)
                    if kind == "unstorable":
                        raise PrunerFailed(f"what {self._name} wrote to its study cannot be stored: {content}")
                    self._put(decoder.decode(content))
            except (OSError, EOFError, PrunerFailed, BadInput) as error:
                self._put(self._explained(error))
            finally:
                self._kill()

    def _start(self, pipe: Connection) -> None:
        pipe.send((self.spec.to_json(), sys.path))
        kind, content = self._receive(pipe, self._limits.start_seconds, None)
        if kind == "refused":
            self.refused = BadInput(*content)
            raise self.refused
        self.ready = True
        self._wake()

    def _receive(self, pipe: Connection, seconds: float, baseline: int | None) -> Any:
        """Waits for a message.

        Raises:
            PrunerFailed: the pruner took too long or too much memory.
        """
        looks = max(1, round(seconds / LOOK_SECONDS))
        for _ in range(looks):
            if pipe.poll(seconds / looks):
                return pipe.recv()
            if baseline is not None and (grown := self._memory() - baseline) > self._limits.memory:
                raise PrunerFailed(f"{self._name} took {grown >> 20} MiB of memory for one answer")
        raise PrunerFailed(f"{self._name} did not answer within {seconds:g} s")

    def _explained(self, error: Exception) -> Exception:
        if isinstance(error, PrunerFailed | BadInput):
            return error
        with self._killing:
            code = self._process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return PrunerFailed(f"the process of {self._name} ended with {how}")

    def _put(self, result: Answer | Exception) -> None:
        if not self._ended:
            self._results.put(result)
            self._wake()

    def _kill(self) -> None:
        """Ends the process and what it started in its session."""
        with self._killing:
            # A process that was waited for has no number of its own any more.
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()

    def _memory(self) -> int:
        """Returns the bytes of memory that the process holds; 0 where that cannot be known."""
        try:
            return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError):
            return 0


class PrunerProcesses:
    """The pruners of all studies that have one of their own.

    Args:
        wake: Called from another thread when there is something to take.
        limits: What each may take.
    """

    def __init__(self, wake: Callable[[], None] = lambda: None, limits: Limits | None = None) -> None:
        self._wake = wake
        self._limits = limits or Limits()
        self._processes: dict[str, PrunerProcess] = {}
        self._used: set[str] = set()

    def check(self, spec: Spec) -> bool:
        """Makes sure that a search's own pruner can be had; returns whether that is known yet.

        Raises:
            BadInput: it cannot.
        """
        if not has_own_class(spec):
            return True
        known = self._processes.get(spec.name)
        if known is None or not _same(known.spec, spec):
            if known is not None and spec.name in self._used:
                # The study at hand goes on with its own until it is opened anew.
                return True
            known = self._start(spec)
        if (refused := known.refused) is not None:
            self.close(spec.name)
            raise refused
        return known.ready

    def open(self, spec: Spec) -> None:
        """Begins anew for a study that was just read."""
        if not has_own_class(spec):
            return
        known = self._processes.get(spec.name)
        if known is None or spec.name in self._used or not _same(known.spec, spec):
            self._start(spec)
        self._used.add(spec.name)

    def ask(self, study: str, question: Question) -> None:
        """Hands a question over, and returns at once."""
        self._processes[study].ask(question)

    def take(self) -> list[tuple[str, Answer | Exception]]:
        """Returns what has come since the last call, by study."""
        results = [(name, process.take()) for name, process in self._processes.items() if name in self._used]
        return [(name, result) for name, result in results if result is not None]

    def close(self, study: str | None = None) -> None:
        """Ends the process of a study, or all of them."""
        for name in list(self._processes) if study is None else [study]:
            self._used.discard(name)
            if (process := self._processes.pop(name, None)) is not None:
                process.close()

    def _start(self, spec: Spec) -> PrunerProcess:
        self.close(spec.name)
        made = self._processes[spec.name] = PrunerProcess(spec, self._wake, self._limits)
        return made


def _same(one: Spec, other: Spec) -> bool:
    return all(getattr(one, key) == getattr(other, key) for key in _RULES)
