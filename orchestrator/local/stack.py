"""The processes of one run: started together, stopped in order, gone together when this process is."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.regular_files import open_log, open_regular

STOP_SECONDS = 15.0


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
                [sys.executable, *arguments, "--parent", str(os.getpid())],
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
        """Returns the last line of its log that is not blank."""
        try:
            with os.fdopen(open_regular(self.log), errors="replace") as file:
                text = file.read()
        except OSError as error:
            return f"its log cannot be read: {error.strerror}"
        lines = [line for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else ""

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Asks it to end, and ends its whole session when it does not."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
