"""A process that a run starts, and that ends with it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.common.errors import reason_of
from tasks.trial_files import open_log, open_regular

STOP_SECONDS = 15.0


def last_words(text: str) -> str:
    """Returns the last error of a log.

    That is the command line's own error, or the exception of the last traceback, even if other lines follow it, or else
    the last line that is not blank.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    for index in range(len(lines) - 1, -1, -1):
        line = lines[index]
        if line.startswith("orchestrator: "):
            return line
        if line.lstrip().startswith("Traceback (most recent call last)"):
            depth = len(line) - len(line.lstrip())
            same = (each for each in lines[index + 1 :] if len(each) - len(each.lstrip()) <= depth)
            return next(same, lines[-1]).strip()
    return lines[-1].strip() if lines else ""


class ChildProcess:
    """A child process, in a session of its own so that Ctrl-C reaches only its parent.

    Args:
        name: Its name in messages.
        arguments: Python's arguments; ``--parent PID`` is added, so that it ends with this process.
        environment: Its whole environment.
        log: File that takes its output.
        inherit: Descriptor that it holds open as long as it lives.
    """

    def __init__(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path, inherit: int
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(open_log(log), "ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-P", *arguments, "--parent", str(os.getpid())],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=(inherit,),
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self) -> int | None:
        """Returns the exit code of a process that has ended, else ``None``."""
        return self._process.poll()

    def last_words(self) -> str:
        """Returns the last error of its log; see the function of this name."""
        try:
            with os.fdopen(open_regular(self.log), errors="replace") as file:
                text = file.read()
        except OSError as error:
            return f"its log cannot be read: {reason_of(error)}"
        return last_words(text)

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Sends SIGTERM, and after ``seconds`` SIGKILL to its whole session."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
