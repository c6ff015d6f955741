"""The lease beside open transactions and a busy loop: taken over, renewed, or lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from leased_store import LeasedStore
from leases import STRANGER, held_by, now_in
from sqlalchemy import select, text

from orchestrator.control.lease_renewal import Renewal
from orchestrator.storage.database import Database
from orchestrator.storage.lease import WriterLease
from orchestrator.storage.own_tables import writer


def wait_for_a_lock(leased: LeasedStore) -> None:
    """Returns when some other connection of this database waits for a lock."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    for _ in range(500):
        with leased.database.read() as connection:
            if connection.scalar(query):
                return
        time.sleep(0.01)
    raise AssertionError("no session waits for a lock")


class Acquiring(threading.Thread):
    """Acquires a lease beside the test."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.database = Database(url)
        self.lease = WriterLease(self.database, 60.0)
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.lease.acquire()
        except BaseException as error:
            self.error = error


def test_two_that_start_together_on_an_empty_database_both_get_an_answer(postgresql: str) -> None:
    first = LeasedStore(postgresql, acquire=False)
    with first.database.write() as connection:
        connection.execute(writer.insert().values(id=1, term=1, holder=STRANGER, expires=0.0))
        second = Acquiring(postgresql)
        wait_for_a_lock(first)
    second.join(20.0)
    second.database.close()
    first.close()
    assert not second.is_alive()
    assert second.error is None
    assert second.lease.term == 2


def test_a_writer_frozen_inside_a_transaction_holds_up_no_other(postgresql: str) -> None:
    """It was stopped between its first statement and its commit, and its lease has run out."""
    frozen = LeasedStore(postgresql, seconds=-1.0)
    connection = frozen.database.engine.connect()
    connection.begin()
    frozen.lease.hold(connection)()
    standby = Acquiring(postgresql)
    standby.join(5.0)
    took_over = not standby.is_alive()
    connection.invalidate()
    connection.close()
    standby.join(20.0)
    standby.database.close()
    frozen.close()
    assert took_over
    assert standby.error is None
    assert standby.lease.term == frozen.lease.term + 1


def test_a_transaction_that_is_longer_than_the_lease_does_not_end_it(postgresql: str) -> None:
    """The lease is renewed beside it."""
    leader = LeasedStore(postgresql, seconds=0.5)
    beside = Database(postgresql)
    with leader.database.write() as connection:
        leader.lease.hold(connection)()
        for _ in range(3):
            time.sleep(0.3)
            leader.lease.renew(beside)
        with beside.read() as other:
            assert other.scalar(text(f"SELECT expires > {now_in(leader)} FROM orchestrator_writer"))
    beside.close()
    leader.close()


def test_a_writer_frozen_in_a_connection_that_is_new_holds_up_no_other(postgresql: str) -> None:
    frozen = LeasedStore(postgresql, seconds=-1.0)
    frozen.database.engine.dispose()
    with frozen.database.write() as connection:
        frozen.lease.hold(connection)()
    connection = frozen.database.engine.connect()
    connection.begin()
    frozen.lease.hold(connection)()
    standby = Acquiring(postgresql)
    standby.join(5.0)
    took_over = not standby.is_alive()
    connection.invalidate()
    connection.close()
    standby.join(20.0)
    standby.database.close()
    frozen.close()
    assert took_over


def expires(leased: LeasedStore) -> float:
    with leased.database.read() as connection:
        return float(connection.scalar(select(writer.c.expires)) or 0.0)


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def is_renewed(leased: LeasedStore) -> None:
    """Waits until the lease is renewed."""
    before = expires(leased)
    until(lambda: expires(leased) > before, "it is not renewed")


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "renewal"]


def test_the_lease_is_renewed_while_the_loop_is_busy(leased: LeasedStore) -> None:
    with Renewal(leased.lease, leased.url, every=0.02, limit=60.0):
        is_renewed(leased)
        is_renewed(leased)
    assert threads() == []


def test_a_loop_that_hangs_loses_its_lease_and_one_that_goes_on_keeps_it(
    leased: LeasedStore, caplog: pytest.LogCaptureFixture
) -> None:
    with Renewal(leased.lease, leased.url, every=0.02, limit=0.2) as renewal:
        until(lambda: "loop_hangs" in [getattr(record, "action", "") for record in caplog.records], "nothing is said")
        left = expires(leased)
        time.sleep(0.2)
        assert expires(leased) == left
        renewal.progress()
        is_renewed(leased)


def test_a_lease_that_another_has_taken_ends_the_renewal(leased: LeasedStore) -> None:
    with Renewal(leased.lease, leased.url, every=0.02, limit=60.0):
        held_by(leased, STRANGER, 30.0)
        until(lambda: threads() == [], "it goes on")
        left = expires(leased)
    assert expires(leased) == left


def test_the_lease_in_a_locked_file_is_renewed_when_the_lock_is_gone(sqlite: str) -> None:
    leased = LeasedStore(sqlite)
    with Renewal(leased.lease, leased.url, every=0.02, limit=60.0):
        with leased.database.write():
            time.sleep(0.1)
        is_renewed(leased)
    leased.close()
    assert threads() == []
