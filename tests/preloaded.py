"""Starts processes of the program without the time that its imports take: forks of a process that has done them.

Imports are most of what a process of ``orchestrator`` or a worker costs. A test of what such a process does starts it
here; a test of how it starts runs a new interpreter.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from orchestrator.common.settings import without_secrets

SERVER = Path(__file__).parent / "fork_server.py"
ROOM = {"argument": 4 << 10, "environment": 64 << 10}
"""Bytes in which a forked process shows its command line and its environment in ``/proc``."""


class Process:
    """A process that was forked; it is used as one of ``subprocess.Popen`` is."""

    def __init__(self, arguments: Sequence[str], pid: int, report: int) -> None:
        self.args = arguments
        self.pid = pid
        self.returncode: int | None = None
        self._report = report

    def poll(self) -> int | None:
        """Returns the exit code, the negative number of a signal that ended it, or ``None`` while the process runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end, ``timeout`` seconds at the most; returns the exit code.

        Raises:
            subprocess.TimeoutExpired: the process runs.
        """
        if self.returncode is None:
            if not select.select([self._report], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = int(os.read(self._report, 16))
            os.close(self._report)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """The process that has imported the modules of the program, and the channel to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channel, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, str(SERVER), str(other.fileno()), "-" * ROOM["argument"]]
        # A process with one thread is forked; OpenBLAS would start some at its import.
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        environment["ROOM"] = "-" * ROOM["environment"]
        environment.pop("PYTHONPATH", None)
        with other:
            self._process = subprocess.Popen(
                command, env=environment, pass_fds=[other.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )

    def start(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        stdout: BinaryIO,
        stderr: BinaryIO,
        program: str,
    ) -> Process:
        """Starts a process of ``program``; its standard input is empty."""
        request = {
            "program": program,
            # The worker is always started with -P, by which Python leaves the working directory out of its path.
            "options": ["-P"] if program == "tasks.worker" else [],
            "arguments": list(arguments),
            "environment": dict(environment),
            "folder": str(folder),
        }
        read, write = os.pipe()
        with self._lock:
            fds = [stdout.fileno(), stderr.fileno(), write]
            socket.send_fds(self._channel, [json.dumps(request).encode()], fds)
            os.close(write)
            answer = self._channel.recv(16)
        if not answer:
            os.close(read)
            raise RuntimeError("the process that forks others has ended; its traceback is on stderr")
        return Process(arguments, int(answer), read)

    def close(self) -> None:
        """Ends the process that forks; those that it has forked go on."""
        self._channel.close()
        self._process.wait()


@functools.cache
def _server() -> ForkServer:
    server = ForkServer()
    atexit.register(server.close)
    return server


def start(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    stdout: BinaryIO,
    stderr: BinaryIO,
    program: str = "orchestrator",
) -> Process:
    """Starts ``orchestrator`` with these arguments, in ``folder``; or a program of the tests' own that is like it.

    ``orchestrator worker`` only checks its options before it makes way for ``python -P -m tasks.worker``, which is
    started at once.
    """
    if program == "orchestrator" and arguments[0] == "worker":
        clean = without_secrets(environment)
        return _server().start(arguments[1:], clean, folder, stdout, stderr, "tasks.worker")
    return _server().start(arguments, environment, folder, stdout, stderr, program)


def run(
    *arguments: str, environment: Mapping[str, str], folder: Path, seconds: float
) -> subprocess.CompletedProcess[str]:
    """Runs ``orchestrator`` with these arguments to its end, ``seconds`` at the most, in ``folder``."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = start(arguments, environment=environment, folder=folder, stdout=stdout, stderr=stderr)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        said = []
        for stream in (stdout, stderr):
            stream.seek(0)
            said.append(stream.read().decode(errors="replace"))
        return subprocess.CompletedProcess(arguments, code, *said)
