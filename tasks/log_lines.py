"""The log of a process: lines of text, or one JSON object each. A line about a trial has fields that name it.

These are ``study``, ``trial``, ``attempt`` (the attempt's number) and ``token`` (its id, which is Celery's task id). A
line has them where

- its ``extra`` has them; the token alone is enough for a job that this process has seen;
- its thread is in a ``job_context``;
- it is a line of Celery's about a task that this process has seen.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, NamedTuple

from tasks.contract import Job

LOG_FORMAT: Final = "ORCHESTRATOR_LOG_FORMAT"
FORMATS: Final = ("text", "json")

_REMEMBERED = 4_096
"""Jobs that are remembered by their token: more than can wait in one process."""


class Subject(NamedTuple):
    """The attempt of a trial that a line is about."""

    study: str
    trial: int
    attempt: int
    token: str


_at_hand: ContextVar[Subject | None] = ContextVar("subject", default=None)
_seen: OrderedDict[str, Subject] = OrderedDict()
_lock = threading.Lock()


def remember(job: Job) -> Subject:
    """Remembers a job by its token."""
    subject = Subject(job.study, job.trial, job.attempt, job.token)
    with _lock:
        _seen[job.token] = subject
        _seen.move_to_end(job.token)
        while len(_seen) > _REMEMBERED:
            _seen.popitem(last=False)
    return subject


@contextlib.contextmanager
def job_context(job: Job) -> Iterator[None]:
    """Marks the lines of this thread as lines about this job."""
    before = _at_hand.set(remember(job))
    try:
        yield
    finally:
        _at_hand.reset(before)


class SubjectFilter(logging.Filter):
    """Adds the subject to lines that have none, where it is known; lets every line pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        if "study" not in record.__dict__ and (subject := _subject_of(record)) is not None:
            record.__dict__ |= subject._asdict()
        return True


class JsonFormatter(logging.Formatter):
    """One object a line: always ``time`` (UTC), ``level``, ``process``, ``pid``, ``logger`` and ``message``; where
    there is one, ``action``, what the line is about, and the ``exception`` with its traceback.

    Args:
        process: Kind of the process.
    """

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname.lower(),
            "process": self._process,
            "pid": record.process,
            "logger": record.name,
        }
        given = record.__dict__
        fields |= {key: given[key] for key in ("action", *Subject._fields) if given.get(key) is not None}
        fields["message"] = record.getMessage()
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        # In ASCII: other line ends and lone surrogates are escaped.
        return json.dumps(fields, default=str)


class TextFormatter(logging.Formatter):
    """A line of text; a traceback follows indented. Control characters, line ends and direction marks are escaped, so
    that a user's text can neither move the cursor nor look like another line."""

    def __init__(self, process: str) -> None:
        super().__init__(f"%(asctime)s %(levelname)s {process} %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        lines = escape(super().formatMessage(self._prepared(record)))
        if record.exc_info:
            lines += "".join(f"\n    {escape(line)}" for line in self.formatException(record.exc_info).split("\n"))
        return lines

    def _prepared(self, record: logging.LogRecord) -> logging.LogRecord:
        record.message = record.getMessage()
        record.asctime = self.formatTime(record, self.datefmt)
        return record


def escape(text: str) -> str:
    """Returns text with invisible characters escaped as in Python: ``\\x1b``, ``\\n``, ``\\u202e``."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or unicodedata.category(each) == "Zs" else repr(each)[1:-1] for each in text
    )


def set_up(process: str, form: str, level: str | int = logging.INFO) -> None:
    """Sends the log to stderr.

    Args:
        process: Kind of the process.
        form: One of ``FORMATS``. With ``json`` warnings and uncaught exceptions are lines, too.
        level: Lowest level that is written.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(SubjectFilter())
    if form == "json":
        handler.setFormatter(JsonFormatter(process))
        logging.captureWarnings(True)
        sys.excepthook = _log_uncaught
        threading.excepthook = lambda found: _log_uncaught(found.exc_type, found.exc_value, found.exc_traceback)
    else:
        handler.setFormatter(TextFormatter(process))
    logging.basicConfig(level=level.upper() if isinstance(level, str) else level, handlers=[handler])


def say_from_a_signal_handler(process: str, message: str) -> None:
    """Writes a JSON line without the logging module: the signal may have interrupted a write to its stream."""
    line = JsonFormatter(process).format(logging.makeLogRecord({"name": __name__, "levelname": "INFO", "msg": message}))
    with contextlib.suppress(OSError):
        os.write(2, f"{line}\n".encode())


def _log_uncaught(kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None) -> None:
    if error is not None and issubclass(kind, Exception):
        logging.getLogger(__name__).critical("%s", error, exc_info=(kind, error, traceback))
    elif error is not None:
        sys.__excepthook__(kind, error, traceback)


def _subject_of(record: logging.LogRecord) -> Subject | None:
    if (token := record.__dict__.get("token")) is not None:
        return _seen.get(token)
    if (at_hand := _at_hand.get()) is not None:
        return at_hand
    # Celery names a task by its id, among the arguments of a line, or in the mapping that they are.
    values = record.args.values() if isinstance(record.args, Mapping) else record.args or ()
    found = (_seen.get(value) for value in values if isinstance(value, str))
    return next((subject for subject in found if subject is not None), None)
