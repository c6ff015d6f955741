"""A process beside the loop whose answers are waited for only so long, and whose memory is watched meanwhile.

The code that it runs may hang, crash or eat memory: it is the user's own, or it fits models to a whole history.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, Protocol

from orchestrator.common.errors import OrchestratorError
from orchestrator.common.settings import PREFIX

LOOK_SECONDS = 0.2
"""Time between two looks at the memory of a process that is at work."""


@dataclass(frozen=True)
class Limits:
    """Limits of a process.

    Attributes:
        start_seconds: Time until it is ready.
        answer_seconds: Time for one answer.
        memory: Bytes beyond those it had before.
    """

    start_seconds: float = 120.0
    answer_seconds: float = 10.0
    memory: int = 2 << 30


class ProcessFailed(OrchestratorError):
    """A process could not answer; the message is one line."""


class Handle(Protocol):
    """A process that was started."""

    pid: int

    def end(self) -> int:
        """Kills it, with what it started in its session, where it has not ended; returns its exit code, negative for a
        signal."""

    def wait(self) -> int:
        """Waits until it has ended; returns its exit code likewise."""


class ExecutedProcess:
    """A module of this program, run by a new interpreter.

    Args:
        module: It is given the descriptor of its end of a pipe, and this process's id.

    Attributes:
        pipe: This end.
    """

    def __init__(self, module: str) -> None:
        self.pipe, theirs = Pipe()
        self._ending = threading.Lock()
        with theirs:
            descriptor = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, str(descriptor), str(os.getpid())],
                pass_fds=[descriptor],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={name: value for name, value in os.environ.items() if not name.startswith(PREFIX)},
                start_new_session=True,
            )
        self.pid = self._process.pid

    def end(self) -> int:
        with self._ending:
            # A process that was waited for has no number of its own any more.
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
                self._process.wait()
            return self._process.returncode

    def wait(self) -> int:
        with self._ending:
            return self._process.wait()


def receive(pipe: Connection, process: Handle, name: str, seconds: float, most_memory: int | None = None) -> Any:
    """Waits for a message.

    Args:
        pipe: Where it comes from.
        process: Who sends it.
        name: What the process runs, for messages.
        seconds: Time that it may take.
        most_memory: Bytes that the process may hold; ``None`` where that does not matter.

    Raises:
        ProcessFailed: it took too long or too much memory.
    """
    looks = max(1, round(seconds / LOOK_SECONDS))
    for _ in range(looks):
        answered = pipe.poll(seconds / looks)
        if most_memory is not None and (held := memory_of(process.pid)) > most_memory:
            raise ProcessFailed(f"{name} took more memory than it may: {held >> 20} MiB are held")
        if answered:
            return pipe.recv()
    raise ProcessFailed(f"{name} did not answer within {seconds:g} s")


def explained(error: Exception, process: Handle, name: str) -> Exception:
    """Returns why a process did not answer, where all that is known is that its pipe is closed."""
    if not isinstance(error, OSError | EOFError):
        return error
    code = process.wait()
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return ProcessFailed(f"the process of {name} ended with {how}")


def memory_of(pid: int) -> int:
    """Returns the bytes of memory that a process holds; 0 where that cannot be known."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0
