"""The processes of one run: started together, stopped in order, gone together when this process is."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.trial_files import open_log, open_regular

STOP_SECONDS = 15.0


def last_words(text: str) -> str:
    """Returns what a log ends with: the command line's own error, the exception of its last traceback behind which
    other lines may stand, or else the last line that is not blank."""
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


class Child:
    """A process of ours, in a session of its own so that Ctrl-C reaches only its parent.

    Args:
        name: What it is, for its log and for messages.
        arguments: Python's arguments; ``--parent PID`` is added, by which it ends with us.
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
        """Returns the exit code of a process that is no more, else ``None``."""
        return self._process.poll()

    def last_words(self) -> str:
        """Returns the error that it ended with, as its log has it, or else the last line that is not blank."""
        try:
            with os.fdopen(open_regular(self.log), errors="replace") as file:
                text = file.read()
        except OSError as error:
            return f"its log cannot be read: {error.strerror}"
        return last_words(text)

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Asks it to end, and ends its whole session when it does not."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
