"""A line of Celery's about an answer of Redis that passes is one line."""

from __future__ import annotations

import io
import logging

import pytest
import redis
from kombu.message import Message

from tasks.worker.consumer import NotNow, drop_traceback


class Channel:
    """A channel whose server acknowledges nothing."""

    no_ack_consumers = None

    def __init__(self, error: Exception) -> None:
        self._error = error

    def basic_ack(self, *_: object, **__: object) -> None:
        raise self._error


@pytest.mark.parametrize(("error", "lines"), [(NotNow("READONLY"), 1), (redis.ConnectionError("gone"), None)])
def test_an_acknowledgement_that_fails(error: Exception, lines: int | None) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(drop_traceback)
    log = logging.Logger("celery")
    log.addHandler(handler)
    Message(channel=Channel(error), delivery_tag="1").ack_log_error(log, (redis.ConnectionError,))
    said = stream.getvalue()
    assert "Couldn't ack" in said
    assert ("Traceback" in said) == (lines is None)
    assert lines is None or len(said.splitlines()) == lines
