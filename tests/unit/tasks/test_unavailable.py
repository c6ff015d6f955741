"""Which errors say that a server is not available now: every cause, in every wrapping of a library."""

from __future__ import annotations

import logging
import sqlite3
import ssl
from collections.abc import Callable
from pathlib import Path

import kombu.exceptions
import psycopg
import psycopg.errors
import pytest
import redis
from optuna.exceptions import StorageInternalError
from redis._parsers.base import BaseParser
from redis.client import Pipeline
from sqlalchemy import exc

from tasks.server_errors import Contact, Outage, unavailable

Make = Callable[[], BaseException]


def answered(text: str) -> Make:
    """What redis-py makes of an answer that is an error."""
    parse: Callable[[str], BaseException] = BaseParser.parse_error
    return lambda: parse(text)


def psycopg_says(text: str) -> Make:
    return lambda: psycopg.OperationalError(text)


def sqlstate(code: str) -> Make:
    return lambda: psycopg.errors.lookup(code)("ERROR:  words\nDETAIL:  more")


def sqlite(code: int, text: str) -> Make:
    def make() -> BaseException:
        error = sqlite3.OperationalError(text)
        error.sqlite_errorcode = code
        return error

    return make


REDIS_NOT_NOW = {
    text.partition(" ")[0] + str(number): answered(text)
    for number, text in enumerate(
        (
            "READONLY You can't write against a read only replica.",
            "NOREPLICAS Not enough good replicas to write.",
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
            "MISCONF Errors writing to the AOF file: No space left on device",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "CLUSTERDOWN The cluster is down",
            "LOADING Redis is loading the dataset in memory",
            "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            "BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "ERR max number of clients reached",
            "ERR max number of clients + cluster connections reached",
            "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
        )
    )
}
REDIS_NOT_REACHED: dict[str, Make] = {
    "refused": lambda: redis.ConnectionError("Error 111 connecting to 127.0.0.1:1. Connection refused."),
    "timeout": lambda: redis.TimeoutError("Timeout reading from socket"),
}
DATABASE_NOT_NOW = {
    **{
        code: sqlstate(code)
        for code in (
            *("08000", "08003", "08006", "08001", "08004", "08P01"),
            *("25006", "25P03", "40001", "40P01", "53000", "53100", "53200", "53300", "55P03", "57014"),
            *("57P01", "57P02", "57P03", "57P05", "58030"),
        )
    },
    **{
        text: psycopg_says(text)
        for text in (
            "connection failed: FATAL:  sorry, too many clients already",
            "connection failed: FATAL:  the database system is starting up",
            "connection failed: FATAL:  the database system is shutting down",
            "connection failed: FATAL:  remaining connection slots are reserved for roles with SUPERUSER",
            "consuming input failed: server closed the connection unexpectedly\n\tThis probably means",
            "the connection is closed",
        )
    },
    "locked": sqlite(5, "database is locked"),
    "table locked": sqlite(6, "database table is locked"),
    "recovery": sqlite(5 | 1 << 8, "database is locked"),
    "full": sqlite(13, "database or disk is full"),
    "disk": sqlite(10, "disk I/O error"),
    "write": sqlite(10 | 3 << 8, "disk I/O error"),
    "no code": lambda: sqlite3.OperationalError("database or disk is full"),
}
DATABASE_NOT_REACHED: dict[str, Make] = {
    "refused": lambda: psycopg.OperationalError('connection failed: connection to server at "127.0.0.1" refused'),
    "open": sqlite(14, "unable to open database file"),
}
REFUSED: dict[str, Make] = {
    "WRONGPASS": answered("WRONGPASS invalid username-password pair or user is disabled."),
    "NOAUTH": answered("NOAUTH Authentication required."),
    "NOPERM": answered("NOPERM User worker has no permissions to run the 'set' command"),
    "password": lambda: psycopg.OperationalError('FATAL:  password authentication failed for user "x"'),
    "no database": lambda: psycopg.OperationalError('FATAL:  database "x" does not exist'),
    "right": sqlstate("42501"),
    "read-only file": sqlite(8, "attempt to write a readonly database"),
}
ANOTHER_MATTER: dict[str, Make] = {
    "WRONGTYPE": answered("WRONGTYPE Operation against a key holding the wrong kind of value"),
    "BUSYGROUP": answered("BUSYGROUP Consumer Group name already exists"),
    "BUSYKEY": answered("BUSYKEY Target key name already exists."),
    "NOGROUP": answered("NOGROUP No such key 'x' or consumer group"),
    "ERR": answered("ERR unknown command 'READONLY', with args beginning with: 'x'"),
    "data error": lambda: redis.exceptions.DataError("Invalid input of type: 'dict'"),
    **{code: sqlstate(code) for code in ("22001", "22P05", "23505", "42601", "42P01", "42703")},
    "syntax": sqlite(1, 'near "SELEC": syntax error'),
    "malformed": lambda: sqlite3.DatabaseError("database disk image is malformed"),
    "integer": lambda: OverflowError("Python int too large to convert to SQLite INTEGER"),
    # The user's own code may raise these.
    "plain timeout": lambda: TimeoutError("my service"),
    "plain connection": lambda: ConnectionError("my service"),
    "text": lambda: ValueError("READONLY database is locked"),
    "none": lambda: Exception(),
}


def bare(error: BaseException) -> BaseException:
    return error


def of_pipeline(error: BaseException) -> BaseException:
    if isinstance(error, redis.ResponseError):
        annotate: Callable[..., None] = Pipeline.annotate_exception
        annotate(None, error, 3, ("SET", "caused error: ", "x"))
    return error


def of_script(error: BaseException) -> BaseException:
    if isinstance(error, redis.ResponseError):
        error.args = (f"{error} script: 8de647d909bdd3705199691cf891b8d1bbf01ddf, on @user_script:3.",)
    return error


def by_sqlalchemy(error: BaseException) -> BaseException:
    kind = exc.OperationalError if type(error).__name__ == "OperationalError" else exc.DBAPIError
    return kind("SELECT 1", {}, error)


def by_optuna(error: BaseException) -> BaseException:
    return raised_from(StorageInternalError("An exception is raised during the commit."), by_sqlalchemy(error))


def by_kombu(error: BaseException) -> BaseException:
    return raised_from(kombu.exceptions.OperationalError(str(error)), error)


def as_argument(error: BaseException) -> BaseException:
    return RuntimeError(error)


def in_context(error: BaseException) -> BaseException:
    outer = redis.exceptions.RedisError("a library failed")
    outer.__context__ = error
    return outer


def raised_from(outer: BaseException, error: BaseException) -> BaseException:
    outer.__cause__ = error
    return outer


OF_REDIS = (bare, of_pipeline, of_script, by_kombu, as_argument, in_context)
OF_DATABASE = (bare, by_sqlalchemy, by_optuna, as_argument)

Case = tuple[Make, Callable[[BaseException], BaseException], str, Contact]
CASES: list[object] = [
    pytest.param(make, wrap, server, contact, id=f"{name}-{wrap.__name__}")
    for table, wrappers, server, contact in (
        (REDIS_NOT_NOW, OF_REDIS, "redis", Contact.NOT_NOW),
        (REDIS_NOT_REACHED, OF_REDIS, "redis", Contact.NOT_REACHED),
        (DATABASE_NOT_NOW, OF_DATABASE, "database", Contact.NOT_NOW),
        (DATABASE_NOT_REACHED, OF_DATABASE, "database", Contact.NOT_REACHED),
    )
    for name, make in table.items()
    for wrap in wrappers
]


@pytest.mark.parametrize(("make", "wrap", "server", "contact"), CASES)
def test_not_now(make: Make, wrap: Callable[[BaseException], BaseException], server: str, contact: Contact) -> None:
    found = unavailable(wrap(make()))
    assert found is not None
    assert (found.server, found.contact) == (server, contact)
    assert found.reason
    assert "\n" not in found.reason
    assert "user_script" not in found.reason
    assert len(found.reason) <= 220


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_a_client_that_is_refused(make: Make) -> None:
    found = unavailable(make())
    assert found is not None
    assert found.contact is Contact.REFUSED


@pytest.mark.parametrize("make", ANOTHER_MATTER.values(), ids=ANOTHER_MATTER)
@pytest.mark.parametrize("wrap", [bare, of_pipeline, by_sqlalchemy, by_optuna, as_argument])
def test_another_matter(make: Make, wrap: Callable[[BaseException], BaseException]) -> None:
    error = make()
    if wrap in (by_sqlalchemy, by_optuna) and isinstance(error, ConnectionError | TimeoutError):
        pytest.skip("in a library's error it is the server's")
    assert unavailable(wrap(error)) is None


def test_an_error_of_our_own_in_the_handling_of_an_outage_is_no_outage() -> None:
    def handle() -> None:
        try:
            raise redis.ConnectionError("away")
        except redis.ConnectionError:
            raise KeyError("missing")  # noqa: B904

    with pytest.raises(KeyError) as caught:
        handle()
    assert unavailable(caught.value) is None


def test_a_connection_that_sqlalchemy_gave_up() -> None:
    error = exc.DBAPIError("SELECT 1", {}, Exception("x"), connection_invalidated=True)
    found = unavailable(error)
    assert found is not None
    assert (found.server, found.contact) == ("database", Contact.NOT_REACHED)


def test_a_certificate_that_is_not_trusted() -> None:
    error = redis.ConnectionError("certificate verify failed")
    error.__context__ = ssl.SSLCertVerificationError("self-signed")
    found = unavailable(error)
    assert found is not None
    assert found.contact is Contact.REFUSED


def test_nothing_and_a_chain_that_bites_its_tail() -> None:
    assert unavailable(None) is None
    error = RuntimeError("x")
    error.args = (error,)
    assert unavailable(error) is None


def test_a_database_that_is_really_locked(tmp_path: Path) -> None:
    path = tmp_path / "db"
    first, second = sqlite3.connect(path, timeout=0), sqlite3.connect(path, timeout=0)
    try:
        first.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError) as caught:
            second.execute("BEGIN IMMEDIATE")
    finally:
        first.close()
        second.close()
    found = unavailable(caught.value)
    assert found is not None
    assert found.contact is Contact.NOT_NOW


def test_an_outage_is_said_once_and_its_end_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = 10.0
    outage = Outage(logging.getLogger("x"), "redis", "training goes on", monotonic=lambda: now)
    outage.end()
    found = unavailable(answered("READONLY You can't write against a read only replica.")())
    assert found is not None
    for _ in range(50):
        outage.begin(found)
    assert outage.lasts
    now = 18.04
    outage.end()
    outage.end()
    lines = [(record.levelname, record.action, record.getMessage()) for record in caplog.records]  # type: ignore[attr-defined]
    words = "redis is not available (training goes on): READONLY You can't write against a read only replica."
    assert lines == [("WARNING", "redis_away", words), ("INFO", "redis_back", "redis is back after 8.0 s")]
    assert not outage.lasts


def test_a_full_server_names_the_remedy(caplog: pytest.LogCaptureFixture) -> None:
    found = unavailable(answered("OOM command not allowed when used memory > 'maxmemory'.")())
    assert found is not None
    assert found.full
    Outage(logging.getLogger("x"), "redis").begin(found)
    (record,) = caplog.records
    assert record.action == "redis_full"  # type: ignore[attr-defined]
    assert "maxmemory" in record.getMessage()
