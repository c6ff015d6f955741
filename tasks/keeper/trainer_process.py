"""The process of a trainer, in a session of its own, and the socket to it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from tasks.framed_socket import FramedSocket, SocketClosed
from tasks.keeper.process_cleanup import MARK, end_marked, end_orphans
from tasks.process_guards import wait_for_exit
from tasks.trainer_messages import Shutdown, ToTrainer
from tasks.trial_files import open_log


class TrainerProcess:
    """A running ``python -m tasks.trainer``.

    It is started by exec in a new session: user code may use DataLoader workers, signals and CUDA as it likes, and
    all that it ever started can be ended together.

    Args:
        environment: Its whole environment.
        mark: Identifies it and all that it starts.
        log: File for its output while it trains nothing.
        preload: Objective to import at once, or empty.
        code: Import folders of its code bundle, where it has one.

    Attributes:
        ready: Whether it waits for a job.
        preparing: Whether the next job must wait until it has imported its objective.
        imported: Whether it has imported user code, which may have work to finish at the end of the process.
    """

    living: ClassVar[set[int]] = set()
    """Ids of the processes that were started here and have not been waited for."""

    _changing: ClassVar[threading.RLock] = threading.RLock()
    """Held while one is started: until it is in ``living`` it looks like an orphan of another trainer."""

    def __init__(
        self, environment: Mapping[str, str], mark: str, log: Path, preload: str = "", code: Sequence[str] = ()
    ) -> None:
        self._mark = mark
        ours, theirs = socket.socketpair()
        self.wire = FramedSocket(ours)
        command = [sys.executable, "-P", "-m", "tasks.trainer", str(theirs.fileno()), str(os.getpid())]
        with contextlib.ExitStack() as undo, theirs, self._changing:
            undo.callback(self.wire.close)
            output = undo.enter_context(os.fdopen(open_log(log), "ab"))
            self._process = subprocess.Popen(
                command + ([preload, *code] if preload else []),
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
        """Sends a message; raises nothing, for reading shows that a trainer is gone."""
        with contextlib.suppress(SocketClosed):
            self.wire.send(message)

    def end(self, seconds: float) -> int:
        """Tells a process that waits for a job to end; kills it after ``seconds``. Returns the exit code."""
        self.send(Shutdown())
        wait_for_exit(self._process, seconds)
        return self.kill()

    def kill(self) -> int:
        """Kills the process and everything it started; returns the exit code (negative: the signal)."""
        self.end_group()
        return self.wait()

    def end_group(self) -> None:
        """Kills its process group. A signal handler may call it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Waits for a process that has closed its socket, and kills what it left behind; returns the exit code."""
        code = wait_for_exit(self._process, 1.0)
        # Also after its leader has ended: the group lives on in DataLoader workers.
        self.end_group()
        # Processes that have left the group have kept the mark.
        end_marked(self._mark)
        code = self._process.wait() if code is None else code
        with self._changing:
            self.living.discard(self._process.pid)
            # Those with another environment are children of this process by now.
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
