"""The trainer as its keeper sees it: a process of its own session, a wire, and an exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from tasks.frames import ToTrainer
from tasks.keeper.leftovers import MARK, end_marked, end_orphans
from tasks.regular_files import open_log
from tasks.wire import Closed, Wire


class TrainerProcess:
    """A started ``python -m tasks.trainer``.

    It is started by exec in a new session: user code may use DataLoader workers, signals and CUDA as it likes, and
    all that it ever started can be ended together.

    Args:
        environment: Its whole environment.
        mark: What it and all that it starts are known by.
        log: File that takes its output while it trains nothing.
        preload: Objective to import at once, or empty.
    """

    living: ClassVar[set[int]] = set()
    """Process ids of those that were started here and have not been collected."""

    def __init__(self, environment: Mapping[str, str], mark: str, log: Path, preload: str = "") -> None:
        self._mark = mark
        ours, theirs = socket.socketpair()
        self.wire = Wire(ours)
        command = [sys.executable, "-m", "tasks.trainer", str(theirs.fileno()), str(os.getpid())]
        with contextlib.ExitStack() as undo, theirs:
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

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def send(self, message: ToTrainer) -> None:
        """Sends a frame; a trainer that is gone is found by reading, so nothing is raised here."""
        with contextlib.suppress(Closed):
            self.wire.send(message)

    def kill(self) -> int:
        """Ends the process and everything it started; returns the exit code (negative: the signal)."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        return self.wait()

    def wait(self) -> int:
        """Collects a process that has closed its wire, and ends what it left behind."""
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            code = None
        # Also after its leader has ended: the group lives on in DataLoader workers that nobody would end otherwise.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        # What has left the group has kept the mark.
        end_marked(self._mark)
        code = self._process.wait() if code is None else code
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
