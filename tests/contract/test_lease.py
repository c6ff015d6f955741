"""The lease of the one writer: without it a store writes nothing, and others take it over when it ends."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable

import pytest
from leased_store import LeasedStore, a_trial, make_spec
from leases import STRANGER, held_by, now_in, persistently
from sqlalchemy import text, update

from orchestrator.common.errors import NotTheWriter
from orchestrator.model.changeset import Changes
from orchestrator.storage.lease import WriterLease
from orchestrator.storage.own_tables import writer
from orchestrator.storage.store import Store
from tasks.process_identity import pid_namespace


@pytest.mark.parametrize(
    "write",
    [
        lambda leased: leased.commit(Changes(values=[(0, 0, 1.0)])),
        lambda leased: leased.store.commit({}),
        lambda leased: leased.store.commit({}, {1: "{}"}),
        lambda leased: leased.create(trials=99),
        lambda leased: leased.create(name="another"),
    ],
    ids=["batch", "renewal", "answer", "continue", "create"],
)
def test_the_old_writer_writes_nothing(leased: LeasedStore, write: Callable[[LeasedStore], object]) -> None:
    leased.create()
    leased.commit(a_trial())
    leased.orders.issue("key", "me", "pause", "study", {})
    new = leased.another()
    assert new.lease.term == leased.lease.term + 1
    before = new.rows()
    with pytest.raises(NotTheWriter):
        persistently(write, leased)
    assert new.rows() == before
    new.load()
    new.commit(Changes(values=[(0, 0, 2.0)]))
    assert leased.optuna_trials()[0].intermediate_values == {0: 2.0}


def test_a_store_without_a_lease_cannot_write(leased: LeasedStore) -> None:
    leased.create()
    reader = Store(leased.database)
    try:
        assert reader.load("study").spec == make_spec()
        with pytest.raises(RuntimeError, match="without the right"):
            reader.commit({})
    finally:
        reader.close()


def test_a_second_writer_is_told_who_holds_it_and_for_how_long(leased: LeasedStore) -> None:
    held_by(leased, STRANGER, 30.0)
    held = WriterLease(leased.database, 60.0).acquire()
    assert held is not None
    assert held.holder == STRANGER
    assert 25.0 < held.seconds <= 30.0
    with pytest.raises(NotTheWriter):
        leased.store.commit({})


def test_a_lease_that_has_run_out_is_taken_over(leased: LeasedStore) -> None:
    held_by(leased, STRANGER, -0.1)
    lease = WriterLease(leased.database, 60.0)
    assert lease.acquire() is None
    assert lease.term == leased.lease.term + 2


def test_a_lease_that_was_given_back_is_free_at_once(leased: LeasedStore) -> None:
    held_by(leased, STRANGER, 30.0)
    stranger = WriterLease(leased.database, 60.0)
    stranger.term = leased.lease.term + 1
    stranger.release()
    assert WriterLease(leased.database, 60.0).acquire() is None


def test_giving_back_what_another_holds_does_nothing(leased: LeasedStore) -> None:
    held_by(leased, STRANGER, 30.0)
    leased.lease.release()
    assert WriterLease(leased.database, 60.0).acquire() is not None


def test_after_giving_it_back_nothing_can_be_written(leased: LeasedStore) -> None:
    """Unless no other writer came: then the term is the same, and the lease is renewed."""
    leased.create()
    leased.lease.release()
    other = leased.another()
    with pytest.raises(NotTheWriter):
        persistently(lambda it: it.store.commit({}), leased)
    other.store.commit({})


HERE = f"{socket.gethostname()}/{pid_namespace()}"


def test_the_lease_of_a_process_that_is_gone_on_this_host_is_free(leased: LeasedStore) -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
    held_by(leased, f"{HERE}:{process.pid}:12345", 30.0)
    assert WriterLease(leased.database, 60.0).acquire() is None


def test_the_process_id_of_a_gone_holder_may_have_been_taken_since(leased: LeasedStore) -> None:
    held_by(leased, f"{HERE}:1:999999999999", 30.0)
    assert WriterLease(leased.database, 60.0).acquire() is None


@pytest.mark.parametrize(
    "holder",
    [
        *("no colons", ":", "::", "elsewhere:999999:1", f"{HERE}:x:1", f"{HERE}:999999:"),
        # Of another PID namespace, or of a version that named none.
        *(f"{socket.gethostname()}/0123456789ab:999999:1", f"{socket.gethostname()}:999999:1"),
    ],
)
def test_of_a_holder_that_says_nothing_we_wait_for_the_end(leased: LeasedStore, holder: str) -> None:
    held_by(leased, holder, 30.0)
    assert WriterLease(leased.database, 60.0).acquire() is not None


def stranger_of(leased: LeasedStore, seconds: float) -> WriterLease:
    """The lease of another control plane, which holds it."""
    held_by(leased, STRANGER, 0.5)
    stranger = WriterLease(leased.database, seconds)
    stranger.term = leased.lease.term + 1
    return stranger


def held_by_at(leased: LeasedStore, seconds: float) -> None:
    """The holder has renewed its lease, which ends in so many seconds by the database's clock."""
    with leased.database.write() as connection:
        now = float(connection.scalar(text(f"SELECT {now_in(leased)}")) or 0.0)
        connection.execute(update(writer).values(holder=STRANGER, expires=now + seconds))


def test_a_lease_is_renewed(leased: LeasedStore) -> None:
    stranger = stranger_of(leased, 30.0)
    stranger.renew(leased.database)
    held = WriterLease(leased.database, 60.0).acquire()
    assert held is not None
    assert held.seconds > 20.0


def test_a_lease_that_another_has_taken_is_not_renewed(leased: LeasedStore) -> None:
    held_by(leased, STRANGER, 30.0)
    with pytest.raises(NotTheWriter):
        leased.lease.renew(leased.database)


def test_a_lease_that_is_renewed_does_not_end_when_the_clock_is_set_forward(leased: LeasedStore) -> None:
    """The database's clock is an hour ahead from one look to the next: by it the lease ended long ago."""
    now = 100.0
    held_by(leased, STRANGER, 6.0)
    standby = WriterLease(leased.database, 6.0, monotonic=lambda: now)
    assert standby.acquire() is not None
    now += 1.0
    held_by_at(leased, -3600.0)
    assert standby.acquire() is not None, "it was renewed since the last look"
    now += 2.9
    assert standby.acquire() is not None
    now += 0.2
    assert standby.acquire() is None, "it was not renewed for half a lease"


def test_a_lease_that_is_not_renewed_ends_although_the_clock_was_set_back(leased: LeasedStore) -> None:
    now = 100.0
    held_by(leased, STRANGER, 3600.0)
    standby = WriterLease(leased.database, 6.0, monotonic=lambda: now)
    for _ in range(7):
        assert standby.acquire() is not None
        now += 1.0
    assert standby.acquire() is None


def test_a_lease_that_is_renewed_stays_held_although_the_clock_was_set_back(leased: LeasedStore) -> None:
    now = 100.0
    standby = WriterLease(leased.database, 6.0, monotonic=lambda: now)
    for renewal in range(20):
        held_by_at(leased, 3600.0 + renewal)
        assert standby.acquire() is not None
        now += 2.0
