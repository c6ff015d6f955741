"""What a handle follows goes on when the database, or Redis, is back."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from leased_store import LeasedStore

from orchestrator import BadInput, ServerTrouble, StudyHandle, connect
from orchestrator.api import access
from orchestrator.common import patience
from orchestrator.model.progress_events import Progress
from orchestrator.terminal import watch

BUSY = sqlite3.OperationalError("database is locked")
BUSY.sqlite_errorcode = sqlite3.SQLITE_BUSY
OPENINGS = 4
"""Openings of the database that fail; more than the tries of a server that was never reached."""


@pytest.fixture
def handle(leased: LeasedStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[StudyHandle]:
    """A study whose database cannot be opened at first."""
    leased.create()
    monkeypatch.setattr(patience, "AWAY_SECONDS", 0.0)
    original, left = access.open_reader, [OPENINGS]

    @contextmanager
    def open_reader(settings: Any) -> Iterator[Any]:
        left[0] -= 1
        with access.server_errors_in_words():
            if left[0] >= 0:
                raise BUSY
        with original(settings) as reader:
            yield reader

    monkeypatch.setattr(access, "open_reader", open_reader)
    with connect(storage_url=leased.database.url) as fleet:
        yield fleet.handle("study")


def test_a_loop_over_events_begins_when_the_database_is_back(handle: StudyHandle) -> None:
    events = iter(handle.events())
    assert isinstance(next(events), Progress)
    with pytest.raises(BadInput, match="but no `run` in "):
        next(events)


def test_an_async_loop_as_well(handle: StudyHandle) -> None:
    async def first() -> object:
        async for event in handle.events():
            return event
        return None

    assert isinstance(asyncio.run(first()), Progress)


def test_one_look_is_not_repeated(handle: StudyHandle) -> None:
    with pytest.raises(ServerTrouble, match="the database is not available now: database is locked"):
        handle.status()


def test_a_redis_that_is_away_as_the_loop_begins_is_tried_again(
    handle: StudyHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = [0]

    def newest(*_: object) -> bytes:
        tries[0] += 1
        if tries[0] < 3:
            raise redis.ConnectionError("refused")
        return b"0-0"

    monkeypatch.setattr(watch, "newest", newest)
    monkeypatch.setattr(watch, "redis_url_of", lambda _: "redis://127.0.0.1:1/0")
    events = iter(handle.events())
    assert isinstance(next(events), Progress)
    events.close()  # type: ignore[attr-defined]
    assert tries == [3]
