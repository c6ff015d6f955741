"""The statements of one transaction of PostgreSQL, in as few messages as can be.

Sent one by one, each statement is a message there and one back, and each of these wakes a process: for a small commit
that is most of the time, and most of the CPU on both sides. The driver's own pipelines spare the waiting, and still
send each statement by itself. So libpq is called here, by what the driver makes public of it.
"""

from __future__ import annotations

import functools
import itertools
import re
import select
from collections import namedtuple
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect, Executable, exc

from orchestrator.storage.sql_dialects import array_literal, as_text

Values = Mapping[str, Any]

_PLACEHOLDER = re.compile(r"%(?:\((\w+)\)s|%)")

_PREPARED = "orchestrator_prepared"
"""Key of what a connection knows: the names of its prepared statements by their text."""

_numbers = itertools.count(1)


class Rows:
    """The rows of a statement. Looking at them sends it, with all that waits."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.found: Sequence[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        if self.found is None:
            self._pipeline.send()
        return iter(self.found or ())


class Pipeline:
    """A transaction whose statements wait until rows of one are looked at, or until it ends; errors are raised then.

    Args:
        connection: One to PostgreSQL, on which no transaction has begun.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._psycopg: Any = connection.dialect.dbapi
        self._driver: Any = connection.connection.driver_connection
        self._waiting: list[tuple[str, Values, Rows]] = []
        self.exec_driver_sql("BEGIN")

    @property
    def dialect(self) -> Dialect:
        return self._connection.dialect

    def execute(self, statement: Executable, parameters: Values) -> Rows:
        """Puts a statement behind those that wait; returns its rows."""
        text, constants = as_text(statement)
        return self.exec_driver_sql(text, {**constants, **parameters})

    def exec_driver_sql(self, statement: str, parameters: Values | None = None) -> Rows:
        """The same with a statement as the driver takes it."""
        rows = Rows(self)
        self._waiting.append((statement, parameters or {}, rows))
        return rows

    def commit(self) -> None:
        """Ends the transaction; returns when it is in the database."""
        self.exec_driver_sql("COMMIT")
        self.send()

    def send(self) -> None:
        """Sends what waits, and returns when it is done.

        Raises:
            DBAPIError: that of the first statement that failed; those behind it did nothing.
        """
        waiting, self._waiting = self._waiting, []
        packed = [self._packed(text, values) for text, values, _ in waiting]
        names: dict[str, bytes] = self._connection.info.setdefault(_PREPARED, {})
        unprepared = [text not in names for text, _, _ in waiting]
        at = 0
        try:
            results = iter(self._exchange([text for text, _, _ in waiting], packed, names))
            for at, is_first in enumerate(unprepared):
                if is_first:
                    self._check(next(results))
                waiting[at][2].found = self._rows(next(results))
        except self._psycopg.Error as error:
            # Which of them the server has prepared is not known.
            names.clear()
            raise self._wrapped(error, *waiting[at][:2]) from error

    def _packed(self, text: str, values: Values) -> list[bytes | None]:
        encoding = self._driver.info.encoding
        packed = [_packed(values[name], encoding) for name in _positional(text)[1]]
        if any(each is not None and b"\0" in each for each in packed):
            error = self._psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
            raise self._wrapped(error, text, values) from error
        return packed

    def _exchange(
        self, texts: Sequence[str], packed: Sequence[Sequence[bytes | None]], names: dict[str, bytes]
    ) -> list[Any]:
        """Sends statements; returns the results of each: where it is new, that of its preparation comes first."""
        link = self._driver.pgconn
        results: list[Any] = []
        try:
            link.enter_pipeline_mode()
            for text, values in zip(texts, packed, strict=True):
                if text not in names:
                    names[text] = b"orchestrator_%d" % next(_numbers)
                    link.send_prepare(names[text], _positional(text)[0].encode(self._driver.info.encoding))
                link.send_query_prepared(names[text], values)
            link.pipeline_sync()
            self._receive(link, results)
            link.exit_pipeline_mode()
        except BaseException as error:
            # Answers may still be on their way.
            self._connection.invalidate(error)
            # What the server has said at last says more than that the connection is closed.
            failed = [each for each in results if each.status == self._psycopg.pq.ExecStatus.FATAL_ERROR]
            if not isinstance(error, self._psycopg.OperationalError) or not failed:
                raise
        return results

    def _receive(self, link: Any, results: list[Any]) -> None:
        """Adds the results of what was sent, up to the end of the pipeline."""
        ready = select.poll()
        while True:
            ready.register(link.socket, select.POLLIN | (select.POLLOUT if link.flush() else 0))
            ready.poll()
            link.consume_input()
            while not link.is_busy():
                result = link.get_result()
                if result is None and link.status == self._psycopg.pq.ConnStatus.BAD:
                    raise self._psycopg.OperationalError("the connection is lost")
                if result is not None and result.status == self._psycopg.pq.ExecStatus.PIPELINE_SYNC:
                    return
                if result is not None:
                    results.append(result)

    def _check(self, result: Any) -> None:
        if result.status == self._psycopg.pq.ExecStatus.FATAL_ERROR:
            raise self._psycopg.errors.error_from_result(result, encoding=self._driver.info.encoding)

    def _rows(self, result: Any) -> Sequence[Any]:
        self._check(result)
        if not result.ntuples:
            return ()
        loaded = self._psycopg.adapt.Transformer(self._driver)
        loaded.set_pgresult(result)
        make = _row(*(result.fname(column).decode() for column in range(result.nfields)))
        rows: Sequence[Any] = loaded.load_rows(0, result.ntuples, make)
        return rows

    def _wrapped(self, error: Exception, text: str, values: Values) -> BaseException:
        """Returns an error of the driver as SQLAlchemy raises it."""
        return exc.DBAPIError.instance(
            text,
            dict(values),
            error,
            self._psycopg.Error,
            connection_invalidated=self._connection.invalidated,
            dialect=self._connection.dialect,
        )


@functools.cache
def _positional(text: str) -> tuple[str, tuple[str, ...]]:
    """Returns a statement as PostgreSQL takes it, whose parameters have numbers, and their names in that order."""
    names: dict[str, int] = {}

    def numbered(found: re.Match[str]) -> str:
        return f"${names.setdefault(found[1], len(names) + 1)}" if found[1] else "%"

    return _PLACEHOLDER.sub(numbered, text), tuple(names)


def _packed(value: Any, encoding: str) -> bytes | None:
    if value is None:
        return None
    return (array_literal(value) if isinstance(value, list) else str(value)).encode(encoding)


@functools.cache
def _row(*names: str) -> Any:
    """Returns what makes a row of its values."""
    made: Any = namedtuple("Row", names)  # type: ignore[misc]  # they are known when it is asked
    return made._make
