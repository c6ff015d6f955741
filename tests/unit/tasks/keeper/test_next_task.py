"""The next task of a slot is asked for once, and given back where the slot does not come free."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from typing import Any

import pytest

from tasks.keeper import next_task
from tasks.keeper.next_task import DECLINED, EXPECTED, RETURNED, NextTask, NoNextTask, Request

TASK = 2


class Pool:
    """A pipe to a process, and what that process has said."""

    def __init__(self) -> None:
        self._reader, self._writer = multiprocessing.Pipe(duplex=False)
        self.said: list[tuple[int, ...]] = []
        self.next_task = NextTask(self._reader.fileno(), self._reader.recv, lambda *words: self.said.append(words))

    def send(self, job: int) -> Request:
        request = (TASK, (job, None, "function", (), {}))
        self._writer.send(request)
        return request

    def end(self) -> None:
        self._writer.send(None)

    def close(self) -> None:
        self._reader.close()
        self._writer.close()


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool()
    yield made
    made.close()


def test_it_is_asked_for_once(pool: Pool) -> None:
    pool.next_task.expect()
    pool.next_task.expect()
    assert pool.said == [(EXPECTED,)]
    assert pool.next_task.seconds_left() is not None


def test_it_is_taken_and_the_one_after_it_may_be_asked_for(pool: Pool) -> None:
    pool.next_task.expect()
    request = pool.send(7)
    assert pool.next_task.take() == request
    pool.next_task.expect()
    assert pool.said == [(EXPECTED,), (EXPECTED,)]


def test_what_was_not_asked_for_is_neither_declined_nor_given_back(pool: Pool) -> None:
    request = pool.send(7)
    pool.next_task.decline()
    pool.next_task.decline_overdue()
    assert pool.said == []
    assert pool.next_task.take() == request


def test_one_that_has_come_is_given_back(pool: Pool) -> None:
    pool.next_task.expect()
    pool.send(7)
    pool.next_task.decline()
    assert pool.said == [(EXPECTED,), (DECLINED,), (RETURNED, 7)]


def test_one_that_was_on_its_way_is_given_back_when_it_comes(pool: Pool) -> None:
    pool.next_task.expect()
    pool.next_task.decline()
    assert pool.next_task.declined
    pool.send(7)
    pool.next_task.decline_overdue()
    assert pool.said == [(EXPECTED,), (DECLINED,), (RETURNED, 7)]


def test_one_that_comes_when_the_slot_is_free_after_all_is_run(pool: Pool) -> None:
    pool.next_task.expect()
    pool.next_task.decline()
    request = pool.send(7)
    assert pool.next_task.take() == request
    assert pool.said == [(EXPECTED,), (DECLINED,)]


def test_a_slot_that_takes_long_declines_by_itself(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    pool.next_task.expect()
    pool.next_task.decline_overdue()
    assert not pool.next_task.declined
    monkeypatch.setattr(next_task, "AHEAD_SECONDS", 0.0)
    assert pool.next_task.seconds_left() == 0.0
    pool.next_task.decline_overdue()
    assert pool.said == [(EXPECTED,), (DECLINED,)]
    assert pool.next_task.seconds_left() is None


def test_the_end_of_the_process_is_not_lost(pool: Pool) -> None:
    pool.next_task.expect()
    pool.end()
    pool.next_task.decline()
    pool.next_task.decline()
    assert pool.said == [(EXPECTED,), (DECLINED,)]
    assert pool.next_task.take() is None


def test_a_keeper_without_a_pool_has_none() -> None:
    none: Any = NoNextTask()
    none.expect()
    none.decline()
    assert none.take() is None
