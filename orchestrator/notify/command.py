"""Runs the command of a spec to its end or its time limit; its output goes to the log."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from typing import IO, Final

from orchestrator.common.errors import reason_of
from orchestrator.model.notifications import PendingNotification
from orchestrator.notify.webhook import DeliveryAttempt

log = logging.getLogger(__name__)

LIMIT: Final = 600.0
"""Time limit of a command in seconds."""

OUTPUT_KEPT: Final = 4_096
"""Bytes at the end of its output that go to the log."""

_PASSED_ON: Final = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH"}
    | {"SSL_CERT_FILE", "SSL_CERT_DIR", "ORCHESTRATOR_DATA_DIR"}
)
"""Variables of the control plane that a command gets, besides ``LC_*``: the others may hold passwords."""


def environment_of(owed: PendingNotification, environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment of a command."""
    found = {name: value for name, value in environ.items() if name in _PASSED_ON or name.startswith("LC_")}
    return found | {"ORCHESTRATOR_STUDY": owed.study, "ORCHESTRATOR_EVENT": owed.note.event}


class CommandRunner:
    """Runs commands, from several threads.

    Args:
        environ: The environment of the control plane.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closing = False

    def run(self, owed: PendingNotification) -> DeliveryAttempt:
        """Runs a study's command with the notification's JSON as its input. It is not repeated, even if it fails."""
        with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as output:
            told.write(owed.note.body.encode())
            told.seek(0)
            try:
                process = self._start(owed, told, output)
            except (OSError, ValueError) as error:
                return DeliveryAttempt(False, False, f"cannot be started: {reason_of(error)}")
            how = self._await(process)
            size = output.seek(0, os.SEEK_END)
            output.seek(max(0, size - OUTPUT_KEPT))
            printed = output.read().decode(errors="replace").strip()
        done = process.returncode == 0
        text = "study %s: command '%s' %s" + (":\n%s" if printed else "%s")
        about = {"action": "notify_command", "study": owed.study}
        # The first word alone: the others may hold secrets.
        name = owed.notify.command[0]
        log.log(logging.INFO if done else logging.WARNING, text, owed.study, name, how, printed, extra=about)
        return DeliveryAttempt(done, self._closing and not done, how)

    def close(self) -> None:
        """Ends the commands that run; they count as never begun."""
        with self._lock:
            self._closing = True
            for process in self._running:
                _kill(process)

    def _start(self, owed: PendingNotification, told: IO[bytes], output: IO[bytes]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closing:
                raise InterruptedError(errno.EINTR, "the control plane ends")
            process = subprocess.Popen(
                list(owed.notify.command),
                stdin=told,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment_of(owed, self._environ),
                start_new_session=True,
            )
            self._running.add(process)
        return process

    def _await(self, process: subprocess.Popen[bytes]) -> str:
        """Waits for the end of a command, kills what it has left behind, and returns how it ended."""
        try:
            code = process.wait(LIMIT)
            how = f"ended with exit code {code}" if code >= 0 else f"was ended by signal {-code}"
        except subprocess.TimeoutExpired:
            how = f"took longer than {LIMIT:g} s and was ended"
        with self._lock:
            # Also after a normal end: a process that it has left behind would keep the output open.
            _kill(process)
            self._running.discard(process)
        process.wait()
        return how


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
