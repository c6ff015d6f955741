"""A commit on PostgreSQL takes few messages, and fails as one whose statements are sent one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from leased_store import NOW, LeasedStore, a_trial
from sqlalchemy import exc, text

from orchestrator.model.changeset import Changes
from orchestrator.storage.pipeline import Pipeline
from tasks.server_errors import Contact, unavailable


@pytest.fixture
def leased(postgresql: str) -> Iterator[LeasedStore]:
    made = LeasedStore(postgresql)
    yield made
    made.close()


def epoch(step: int) -> Changes:
    return Changes(values=[(0, step, 0.5)])


def count(leased: LeasedStore) -> int:
    with leased.database.read() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM trial_intermediate_values")) or 0)


def test_an_epoch_takes_two_messages_and_a_new_trial_three(
    leased: LeasedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    leased.create()
    leased.commit(a_trial())
    sent: list[Any] = []
    send = Pipeline.send
    monkeypatch.setattr(Pipeline, "send", lambda self: (sent.append(self), send(self))[1])

    leased.commit(epoch(0))
    assert len(sent) == 2
    leased.commit(a_trial(1))
    assert len(sent) == 5
    assert count(leased) == 1


def test_the_first_error_is_raised_and_nothing_is_written(leased: LeasedStore) -> None:
    with (
        pytest.raises(exc.DataError, match="invalid input syntax") as found,
        leased.database.write_together() as pipeline,
    ):
        pipeline.exec_driver_sql("CREATE TABLE made (number int)", {})
        pipeline.exec_driver_sql("SELECT CAST(%(number)s AS int)", {"number": "x"})
        pipeline.exec_driver_sql("SELECT nothing", {})
    assert found.value.statement == "SELECT CAST(%(number)s AS int)"
    with leased.database.write_together() as pipeline:
        assert [tuple(row) for row in pipeline.execute(text("SELECT to_regclass('made')"), {})] == [(None,)]


def test_an_error_of_this_process_leaves_the_connection_fit(leased: LeasedStore) -> None:
    leased.create()
    leased.commit(a_trial())
    with pytest.raises(exc.DataError, match="NUL"), leased.database.write_together() as pipeline:
        pipeline.exec_driver_sql("SELECT CAST(%(word)s AS text)", {"word": "a\0b"})
    leased.commit(epoch(0))
    with pytest.raises(ZeroDivisionError), leased.database.write_together() as pipeline:
        list(pipeline.execute(text("DELETE FROM trial_intermediate_values RETURNING step"), {}))
        raise ZeroDivisionError
    leased.commit(epoch(1))
    assert count(leased) == 2


def test_more_than_fits_into_a_message_is_written(leased: LeasedStore) -> None:
    leased.create()
    leased.commit(a_trial())
    steps = range(200_000)
    leased.commit(Changes(values=[(0, step, NOW) for step in steps]))
    assert count(leased) == len(steps)


@pytest.mark.parametrize("in_the_middle", [False, True])
def test_a_connection_that_the_server_ends_is_one_that_is_tried_again(leased: LeasedStore, in_the_middle: bool) -> None:
    leased.create()
    leased.commit(a_trial())
    with pytest.raises(exc.DBAPIError) as found, leased.database.write_together() as pipeline:
        (row,) = pipeline.execute(text("SELECT pg_backend_pid() AS pid"), {})
        if in_the_middle:
            pipeline.exec_driver_sql(f"SELECT pg_terminate_backend({row.pid})", {})
        else:
            with leased.database.read() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": row.pid})
        pipeline.exec_driver_sql("SELECT 1", {})
    assert found.value.connection_invalidated
    missed = unavailable(found.value)
    assert missed is not None
    assert missed.contact is Contact.NOT_NOW
    leased.commit(epoch(0))
    assert count(leased) == 1
