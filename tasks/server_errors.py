"""Recognizes errors of a server that is not available, however a library has wrapped them, and logs each outage once.

Errors of SQLAlchemy, Optuna, psycopg, kombu and Celery are recognized by their attributes; these libraries are not
imported, for a worker has no database, and short commands must start fast.
"""

from __future__ import annotations

import logging
import re
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal

import redis

Server = Literal["redis", "database"]

MOST_LETTERS: Final = 200
"""Longest reason, so that it fits into a line."""


class Contact(Enum):
    """The point at which a request failed."""

    REFUSED = "refused"
    """The server or its certificate refuses this client: the user, password, right or database is wrong."""
    NOT_REACHED = "not reached"
    """There is no connection, or it was closed."""
    NOT_NOW = "not now"
    """The server answers, and cannot do it at the moment."""


@dataclass(frozen=True)
class Unavailable:
    """The reason why a server is not available now.

    ``full``: Redis has reached its ``maxmemory``; commands that free memory still work.
    """

    server: Server
    contact: Contact
    reason: str
    full: bool = False


_REDIS: Final = re.compile(
    r"(?:READONLY|NOREPLICAS|MISCONF|MASTERDOWN|CLUSTERDOWN|LOADING|BUSY|TRYAGAIN|OOM)(?= )"
    r"|ERR max number of clients"
    # A blocking read is ended when its server becomes a replica.
    r"|UNBLOCKED .*instance state changed"
)
"""Beginning of a Redis error that may pass."""

_REDIS_REFUSES: Final = re.compile(r"(?:NOAUTH|WRONGPASS|NOPERM)(?= )|ERR (?:invalid password|AUTH )")
_PIPELINE: Final = "of pipeline caused error: "
"""redis-py puts the number and the command before the server's message."""

_SCRIPT: Final = " script: "
"""Stands before the place in a script at which a command was refused, which says nothing to a person."""

_SQLSTATE: Final = re.compile(
    "08|53"  # connection lost; out of connections, disk or memory
    "|25006|25P03|25P04"  # read-only; connection ended, for it idled in a transaction or took too long
    "|40001|40003|40P01"  # serialization failure, unknown completion, deadlock
    "|55P03|57014"  # lock not had in time, statement canceled
    "|57P01|57P02|57P03|57P05"  # ended by an administrator, by a crash; starting up; idled
    "|58030"  # input or output failed on the server
)
_SQLSTATE_REFUSES: Final = re.compile("28|3D000|42501")
_POSTGRESQL_REFUSES: Final = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry"
    r"|(?:database|role) \"[^\"]*\" (?:does not exist|is not permitted to log in)|certificate verify failed"
)
"""Messages of libpq where no connection could be made; such an error has no SQLSTATE."""
_POSTGRESQL_ANSWERS: Final = re.compile(
    r"FATAL:|too many (?:clients|connections)|remaining connection slots|(?:starting up|shutting down|in recovery mode)"
    r"|terminating connection|server closed the connection|the connection is (?:closed|lost)"
)

_SQLITE: Final = {
    **dict.fromkeys((5, 6, 7, 10, 13, 15), Contact.NOT_NOW),  # BUSY, LOCKED, NOMEM, IOERR, FULL, PROTOCOL
    8: Contact.REFUSED,  # READONLY
    14: Contact.NOT_REACHED,  # CANTOPEN
}
"""By the primary result code."""
_SQLITE_TEXTS: Final = re.compile(r"database(?: table)? is locked|disk is full|disk I/O error|locking protocol")

_LIBRARIES: Final = frozenset({"redis", "kombu", "celery", "amqp", "billiard", "optuna", "psycopg", "sqlalchemy"})
_DATABASE_LIBRARIES: Final = frozenset({"optuna", "psycopg", "sqlalchemy"})


def unavailable(error: BaseException | None) -> Unavailable | None:
    """Returns which server is not available according to this error; ``None`` for any other error.

    Checks the whole chain: causes, and errors that libraries keep in the error.
    """
    chain = list(_chain(error))
    libraries = {_library(each) for each in chain}
    found = [judged for each in chain if (judged := _judge(each, libraries)) is not None]
    # The innermost error has the most precise reason.
    return found[-1] if found else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error and those that it wraps, outermost first."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop(0)
        if not isinstance(each, BaseException) or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, getattr(each, "orig", None), *each.args]
        if _library(each):
            # Not for errors of our own code, which may fail while it handles an outage.
            waiting.append(each.__context__)


def _library(error: BaseException) -> str:
    """Returns the library of an error's class or of one of its bases; empty for any other."""
    roots = (base.__module__.partition(".")[0] for base in type(error).__mro__)
    return next((root for root in roots if root in _LIBRARIES), "")


def _judge(error: BaseException, around: set[str]) -> Unavailable | None:
    """Judges one error of a chain; ``around`` are the libraries of the chain's errors."""
    if isinstance(error, redis.RedisError):
        return _judge_redis(error)
    kinds = {base.__name__ for base in type(error).__mro__}
    library = _library(error)
    if library == "psycopg" or isinstance(getattr(error, "pgcode", None), str):
        return _judge_postgresql(error, kinds)
    if type(error).__module__ == "sqlite3":
        return _judge_sqlite(error)
    if library == "sqlalchemy" and getattr(error, "connection_invalidated", False) is True:
        return Unavailable("database", Contact.NOT_REACHED, _line(error))
    # Alone, an error of Python's own may come from user code.
    plain = isinstance(error, ConnectionError | TimeoutError) and around != {""}
    if plain or (library == "kombu" and "OperationalError" in kinds):
        server: Server = "database" if around & _DATABASE_LIBRARIES else "redis"
        return Unavailable(server, Contact.NOT_REACHED, _line(error))
    return None


def _judge_redis(error: redis.RedisError) -> Unavailable | None:
    text = _line(error).rpartition(_PIPELINE)[2].partition(_SCRIPT)[0]
    # redis-py replaces the first word of some errors by their class.
    code = getattr(error, "status_code", None) or ""
    said = text if not code or text.startswith(f"{code} ") else f"{code} {text}"
    untrusted = isinstance(error.__context__, ssl.SSLCertVerificationError)
    if untrusted or isinstance(error, _REDIS_REFUSALS) or _REDIS_REFUSES.match(said):
        return Unavailable("redis", Contact.REFUSED, text)
    if isinstance(error, _REDIS_PASSING) or _REDIS.match(said) or text.startswith("max number of clients reached"):
        full = isinstance(error, redis.exceptions.OutOfMemoryError) or said.startswith("OOM ")
        return Unavailable("redis", Contact.NOT_NOW, said, full)
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        return Unavailable("redis", Contact.NOT_REACHED, text)
    return None


_REDIS_REFUSALS: Final = (
    redis.AuthenticationError,
    redis.exceptions.AuthorizationError,
    redis.exceptions.NoPermissionError,
)
_REDIS_PASSING: Final = (
    redis.exceptions.BusyLoadingError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.TryAgainError,
)


def _judge_postgresql(error: BaseException, kinds: set[str]) -> Unavailable | None:
    code = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    line = _line(error)
    if code:
        if _SQLSTATE.match(code):
            return Unavailable("database", Contact.NOT_NOW, line)
        return Unavailable("database", Contact.REFUSED, line) if _SQLSTATE_REFUSES.match(code) else None
    if not kinds & {"OperationalError", "InterfaceError"}:
        return None
    if _POSTGRESQL_REFUSES.search(str(error)):
        return Unavailable("database", Contact.REFUSED, line)
    answers = _POSTGRESQL_ANSWERS.search(str(error))
    return Unavailable("database", Contact.NOT_NOW if answers else Contact.NOT_REACHED, line)


def _judge_sqlite(error: BaseException) -> Unavailable | None:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        contact = Contact.NOT_NOW if _SQLITE_TEXTS.search(str(error)) else None
    else:
        # An extended code has the primary one in its lowest byte.
        contact = _SQLITE.get(code & 0xFF)
    return None if contact is None else Unavailable("database", contact, _line(error))


def _line(error: BaseException) -> str:
    """Returns the first line of an error's message; its class where it has none."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:MOST_LETTERS]


def is_wrong_type(error: BaseException | None) -> bool:
    """Whether a key in Redis holds a value of the wrong type, whatever the error is wrapped in."""
    while error is not None and not (isinstance(error, redis.ResponseError) and "WRONGTYPE" in str(error)):
        error = error.__cause__ or error.__context__
    return error is not None


def wrong_type(key: str, kind: str) -> str:
    """Returns what to do about a key with a value of the wrong type."""
    # Quoted for a shell.
    shown = key if key.isprintable() else f"${key!r}"
    return f"redis key {shown} holds something that is no {kind}; 'redis-cli DEL {shown}' helps, nothing is lost by it"


class Outage:
    """Logs one line when a server becomes unavailable, and one when it is back.

    Args:
        log: Logger of both lines.
        server: The server; its lines have the actions ``redis_away`` and ``redis_back``, or those of the database.
        meanwhile: What goes on while it is away, for the first line; may be empty.
        monotonic: Returns the time in seconds.
    """

    def __init__(
        self,
        log: logging.Logger,
        server: Server,
        meanwhile: str = "",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._server = server
        self._name = "redis" if server == "redis" else "the database"
        self._meanwhile = f" ({meanwhile})" if meanwhile else ""
        self._monotonic = monotonic
        self._since: float | None = None

    @property
    def lasts(self) -> bool:
        """Whether the server is unavailable, as far as is known."""
        return self._since is not None

    def begin(self, found: Unavailable) -> None:
        """Notes that the server is not available; logs it the first time."""
        if self._since is not None:
            return
        self._since = self._monotonic()
        if found.full:
            remedy = "nothing is lost, workers hold what they report; raise maxmemory or free some"
            self._say(logging.ERROR, f"{self._name} is full (maxmemory): %s", remedy, "full")
        else:
            self._say(logging.WARNING, f"{self._name} is not available{self._meanwhile}: %s", found.reason, "away")

    def end(self) -> None:
        """Notes that the server is available; logs it after an outage."""
        if self._since is not None:
            seconds = self._monotonic() - self._since
            self._since = None
            self._say(logging.INFO, f"{self._name} is back after %s s", f"{seconds:.1f}", "back")

    def _say(self, level: int, text: str, about: str, action: str) -> None:
        extra: dict[str, Any] = {"action": f"{self._server}_{action}"}
        self._log.log(level, text, about, extra=extra)


class Outages:
    """The outages of both servers, as one process sees them.

    Args:
        log, meanwhile, monotonic: As for an ``Outage``; ``meanwhile`` is for Redis.
    """

    def __init__(
        self, log: logging.Logger, meanwhile: str = "", monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.redis = Outage(log, "redis", meanwhile, monotonic)
        self.database = Outage(log, "database", monotonic=monotonic)

    def begin(self, found: Unavailable) -> None:
        """Notes that one of the servers is not available."""
        (self.redis if found.server == "redis" else self.database).begin(found)

    def end(self) -> None:
        """Notes that both servers are available."""
        self.redis.end()
        self.database.end()
