"""Pruner classes of the user's own, each study's in a process of its own beside the loop.

Such a class may hang, crash or eat memory. The loop never waits for it: a thread hands the question over, waits for
the answer as long as the limits allow, and wakes the loop.
"""

from __future__ import annotations

import logging
import queue
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection

import msgspec

from orchestrator.common.errors import BadInput
from orchestrator.control.watched_process import (
    ExecutedProcess,
    Limits,
    ProcessFailed,
    explained,
    memory_of,
    receive,
)
from orchestrator.sampling.pruner_host import has_own_class
from orchestrator.sampling.remote_pruner import Answer, Question
from orchestrator.spec import Spec

log = logging.getLogger(__name__)

_RULES = ("pruner", "shadow", "audit", "objectives", "max_steps", "trials")
"""Keys of a spec from which the process is made."""


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
        self._ended = False
        self.ready = False
        self.refused: BadInput | None = None
        self._process = ExecutedProcess("orchestrator.control.pruner_server")
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
        self._process.end()
        self._thread.join()

    def _serve(self) -> None:
        decoder = msgspec.msgpack.Decoder(Answer)
        with self._process.pipe as pipe:
            try:
                self._start(pipe)
                most = memory_of(self._process.pid) + self._limits.memory
                while (question := self._questions.get()) is not None:
                    pipe.send(question)
                    kind, content = receive(pipe, self._process, self._name, self._limits.answer_seconds, most)
                    if kind == "failed":
                        raise ProcessFailed(content)
                    if kind == "unstorable":
                        raise ProcessFailed(f"what {self._name} wrote to its study cannot be stored: {content}")
                    self._put(decoder.decode(content))
            except (OSError, EOFError, ProcessFailed, BadInput) as error:
                self._put(explained(error, self._process, self._name))
            finally:
                self._process.end()

    def _start(self, pipe: Connection) -> None:
        pipe.send((self.spec.to_json(), sys.path))
        kind, content = receive(pipe, self._process, self._name, self._limits.start_seconds)
        if kind == "refused":
            self.refused = BadInput(*content)
            raise self.refused
        self.ready = True
        self._wake()

    def _put(self, result: Answer | Exception) -> None:
        if not self._ended:
            self._results.put(result)
            self._wake()


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
