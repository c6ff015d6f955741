"""A process's log as JSON: one object a line, and a line about a trial names it, whichever logger wrote it."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tasks import log_lines
from tasks.contract import Job

ABOUT = {"study": "s", "trial": 3, "attempt": 2, "token": "t"}


def job(token: str = "t", trial: int = 3) -> Job:
    return Job(study="s", uid="u", trial=trial, token=token, attempt=2, objective="m:f", directions=("minimize",))


@pytest.fixture
def lines() -> Iterator[Any]:
    """Returns what was logged since the last call."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(log_lines.SubjectFilter())
    handler.setFormatter(log_lines.JsonFormatter("worker"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)

    def read() -> list[dict[str, Any]]:
        text = stream.getvalue()
        stream.seek(0)
        stream.truncate()
        return [json.loads(line) for line in text.splitlines()]

    yield read
    log.removeHandler(handler)


log = logging.getLogger("test_log_lines")


def about(line: dict[str, Any]) -> dict[str, Any]:
    return {key: line[key] for key in ABOUT if key in line}


def test_a_line_is_one_object(lines: Any) -> None:
    log.warning("two\nlines of %s\u2028", "ü", extra={"action": "a", "other": object()})
    (line,) = lines()
    assert line.pop("time").endswith("Z")
    assert line.pop("pid") > 0
    assert line == {
        "level": "warning",
        "process": "worker",
        "logger": "test_log_lines",
        "action": "a",
        "message": "two\nlines of ü\u2028",
    }


def test_a_traceback_is_part_of_its_line(lines: Any) -> None:
    try:
        raise ValueError("it broke")
    except ValueError:
        log.exception("oh", extra={"action": "a"})
    (line,) = lines()
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: it broke")


def test_what_is_logged_while_a_job_is_at_hand_is_about_it(lines: Any) -> None:
    with log_lines.job_context(job()):
        log.info("a")
        with log_lines.job_context(job("u", 4)):
            log.info("b")
        log.info("c", extra={"study": "other"})
        thread = threading.Thread(target=log.info, args=("d",))
        thread.start()
        thread.join()
    log.info("e")
    a, b, c, d, e = lines()
    assert about(a) == ABOUT
    assert about(b) == ABOUT | {"trial": 4, "token": "u"}
    assert about(c) == {"study": "other"}
    # Another thread is busy with something else.
    assert about(d) == about(e) == {}


def test_a_token_is_enough(lines: Any) -> None:
    log_lines.remember(job())
    log.info("a", extra={"token": "t"})
    log.info("b", extra={"token": "unknown"})
    # As Celery does.
    log.info("Task %(name)s[%(id)s] received", {"name": "train", "id": "t"})
    log.info("Terminating %s (%s)", "t", 12)
    log.info("Terminating %s", "unknown")
    a, b, c, d, e = lines()
    assert about(a) == about(c) == about(d) == ABOUT
    assert about(b) == {"token": "unknown"}
    assert about(e) == {}


def test_no_more_jobs_are_remembered_than_can_matter(lines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "_REMEMBERED", 2)
    for token in ("t", "u", "t", "v"):
        log_lines.remember(job(token))
    for token in "tuv":
        log.info("x", extra={"token": token})
    assert [len(about(line)) for line in lines()] == [4, 1, 4]


def test_an_uncaught_exception_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    try:
        log_lines.set_up("serve", "json", "warning")
        error = RuntimeError("it broke")
        sys.excepthook(RuntimeError, error, None)
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
    finally:
        logging.captureWarnings(False)
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["process"], first["level"], first["message"]) == ("serve", "critical", "it broke")
    assert "ZeroDivisionError" in second["exception"]


def test_text_is_as_it_was(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    log_lines.set_up("serve", "text")
    logging.getLogger("x").warning("study %s", "s", extra={"action": "a", **ABOUT})
    assert capsys.readouterr().err.endswith(" WARNING serve study s\n")


def test_a_line_of_text_holds_nothing_that_moves_a_cursor_or_looks_like_another_line() -> None:
    forged = "\x1b[2J\x1b[31mgone\n2026-01-01 00:00:00 INFO serve study s finished\r\u202e\u2028\x9b\ud800 ü\u3000日本"
    formatter = log_lines.TextFormatter("serve")
    try:
        raise ValueError(forged)
    except ValueError as error:
        found = (type(error), error, error.__traceback__)
    values = {"name": "n", "levelname": "INFO", "msg": "trial failed: %s", "args": (forged,), "exc_info": found}

    first, *traceback = formatter.format(logging.makeLogRecord(values)).split("\n")

    assert first.endswith(
        "INFO serve trial failed: \\x1b[2J\\x1b[31mgone\\n2026-01-01 00:00:00 INFO serve study s finished"
        "\\r\\u202e\\u2028\\x9b\\ud800 ü\u3000日本"
    )
    assert traceback[0] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") for line in traceback)
    for line in (first, *traceback):
        assert line.replace("\u3000", "").isprintable()
