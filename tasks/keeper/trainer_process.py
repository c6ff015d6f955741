"""The trainer as its keeper sees it: a process of its own session, a wire, and an exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from tasks.framed_socket import FramedSocket, SocketClosed
from tasks.keeper.process_cleanup import MARK, end_marked, end_orphans
from tasks.trainer_messages import Shutdown, ToTrainer
from tasks.trial_files import open_log


class TrainerProcess:
    """A started ``python -m tasks.trainer``.

    It is started by exec in a new session: user code may use DataLoader workers, signals and CUDA as it likes, and
    all that it ever started can be ended together.

    Args:
        environment: Its whole environment.
        mark: What it and all that it starts are known by.
        log: File that takes its output while it trains nothing.
        preload: Objective to import at once, or empty.

    Attributes:
        ready: Whether it waits for a job.
        preparing: Whether a job is to wait until it has imported its objective.
        imported: Whether code of the user's was imported, which may have begun what this process finishes at its end.
    """

    living: ClassVar[set[int]] = set()
    """Process ids of those that were started here and have not been collected."""

    _changing: ClassVar[threading.RLock] = threading.RLock()
    """Held while one is started, which until then nothing tells from what another one has left."""

    def __init__(self, environment: Mapping[str, str], mark: str, log: Path, preload: str = "") -> None:
        self._mark = mark
        ours, theirs = socket.socketpair()
        self.wire = FramedSocket(ours)
        command = [sys.executable, "-P", "-m", "tasks.trainer", str(theirs.fileno()), str(os.getpid())]
        with contextlib.ExitStack() as undo, theirs, self._changing:
            undo.callback(self.wire.close)
            output = undo.enter_context(os.fdopen(open_log(log), "ab"))
            self._process = subprocess.Popen(
                command + ([preload] if preload else []),
                env=dict(environment) | {MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
            undo.pop_all()
            output.close()
            self.living.add(self._process.pid)
        self.ready = False
        self.preparing = False
        self.imported = False

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def send(self, message: ToTrainer) -> None:
        """Sends a frame; a trainer that is gone is found by reading, so nothing is raised here."""
        with contextlib.suppress(SocketClosed):
            self.wire.send(message)

    def end(self, seconds: float) -> int:
        """Has a process that waits for a job end as any program does, and ends it after ``seconds`` if it has not;
        returns the exit code. What it has started ends with it."""
        self.send(Shutdown())
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self.kill()

    def kill(self) -> int:
        """Ends the process and everything it started; returns the exit code (negative: the signal)."""
        self.end_group()
        return self.wait()

    def end_group(self) -> None:
        """Ends its process group, as a signal handler may do."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Collects a process that has closed its wire, and ends what it left behind."""
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            code = None
        # Also after its leader has ended: the group lives on in DataLoader workers that nobody would end otherwise.
        self.end_group()
        # What has left the group has kept the mark.
        end_marked(self._mark)
        code = self._process.wait() if code is None else code
        with self._changing:
            self.living.discard(self._process.pid)
            # And what has another environment, too, is this process's child by now.
            end_orphans(self.living)
        self.wire.close()
        return code


def describe_exit(code: int) -> str:
    """Returns ``exit code 3`` or ``signal 9 (Killed)``."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"signal {-code} ({signal.strsignal(-code) or signal.Signals(-code).name})"
    return f"signal {-code}"
