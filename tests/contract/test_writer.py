"""There is one writer: without the lease it writes nothing, and it notices what others wrote."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import optuna
import pytest
from books import NOW, Books, X, a_trial, attempt, make_spec, optuna_storage
from optuna.trial import TrialState
from sqlalchemy import select, text, update
from sqlalchemy.exc import OperationalError

from orchestrator.common.errors import ForeignWrite, NotTheWriter
from orchestrator.control.lease_renewal import Renewal
from orchestrator.model.changeset import Changes, TrialEnd
from orchestrator.storage.database import Database
from orchestrator.storage.lease import WriterLease
from orchestrator.storage.own_tables import writer
from orchestrator.storage.store import Store
from tasks.process_identity import pid_namespace

STRANGER = "another-host:1:1"


def held_by(books: Books, holder: str, seconds: float) -> None:
    """Another process has the lease for that many more seconds, in the next term."""
    with books.database.write() as connection:
        now = float(connection.scalar(text(f"SELECT {_now(books)}")) or 0.0)
        term = connection.scalar(writer.select().with_only_columns(writer.c.term))
        assert term is not None
        connection.execute(update(writer).values(term=term + 1, holder=holder, expires=now + seconds, backend=None))


def _now(books: Books) -> str:
    if books.database.dialect == "sqlite":
        return "(julianday('now') - 2440587.5) * 86400.0"
    return "extract(epoch from clock_timestamp())"


def persistently(write: Callable[[Books], object], books: Books) -> None:
    """Tries again where a connection broke: a new holder ends the old one's."""
    try:
        write(books)
    except OperationalError:
        write(books)


@pytest.mark.parametrize(
    "write",
    [
        lambda books: books.commit(Changes(values=[(0, 0, 1.0)])),
        lambda books: books.store.commit({}),
        lambda books: books.store.commit({}, {1: "{}"}),
        lambda books: books.create(trials=99),
        lambda books: books.create(name="another"),
    ],
    ids=["batch", "renewal", "answer", "continue", "create"],
)
def test_the_old_writer_writes_nothing(books: Books, write: Callable[[Books], object]) -> None:
    books.create()
    books.commit(a_trial())
    books.orders.issue("key", "me", "pause", "study", {})
    new = books.another()
    assert new.lease.term == books.lease.term + 1
    before = new.rows()
    with pytest.raises(NotTheWriter):
        persistently(write, books)
    assert new.rows() == before
    new.load()
    new.commit(Changes(values=[(0, 0, 2.0)]))
    assert books.optuna_trials()[0].intermediate_values == {0: 2.0}


def test_a_store_without_a_lease_cannot_write(books: Books) -> None:
    books.create()
    reader = Store(books.database)
    try:
        assert reader.load("study").spec == make_spec()
        with pytest.raises(RuntimeError, match="without the right"):
            reader.commit({})
    finally:
        reader.close()


def test_whoever_comes_second_is_told_who_holds_it_and_for_how_long(books: Books) -> None:
    held_by(books, STRANGER, 30.0)
    held = WriterLease(books.database, 60.0).acquire()
    assert held is not None
    assert held.holder == STRANGER
    assert 25.0 < held.seconds <= 30.0
    with pytest.raises(NotTheWriter):
        books.store.commit({})


def test_a_lease_that_has_run_out_is_taken_over(books: Books) -> None:
    held_by(books, STRANGER, -0.1)
    lease = WriterLease(books.database, 60.0)
    assert lease.acquire() is None
    assert lease.term == books.lease.term + 2


def test_a_lease_that_was_given_back_is_free_at_once(books: Books) -> None:
    held_by(books, STRANGER, 30.0)
    stranger = WriterLease(books.database, 60.0)
    stranger.term = books.lease.term + 1
    stranger.release()
    assert WriterLease(books.database, 60.0).acquire() is None


def test_giving_back_what_another_holds_does_nothing(books: Books) -> None:
    held_by(books, STRANGER, 30.0)
    books.lease.release()
    assert WriterLease(books.database, 60.0).acquire() is not None


def test_after_giving_it_back_nothing_can_be_written(books: Books) -> None:
    """Unless no other writer came: then the term is the same, and the lease is renewed."""
    books.create()
    books.lease.release()
    other = books.another()
    with pytest.raises(NotTheWriter):
        persistently(lambda it: it.store.commit({}), books)
    other.store.commit({})


HERE = f"{socket.gethostname()}/{pid_namespace()}"


def test_the_lease_of_a_process_that_is_gone_on_this_host_is_free(books: Books) -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
    held_by(books, f"{HERE}:{process.pid}:12345", 30.0)
    assert WriterLease(books.database, 60.0).acquire() is None


def test_the_process_id_of_a_gone_holder_may_have_been_taken_since(books: Books) -> None:
    held_by(books, f"{HERE}:1:999999999999", 30.0)
    assert WriterLease(books.database, 60.0).acquire() is None


@pytest.mark.parametrize(
    "holder",
    [
        *("no colons", ":", "::", "elsewhere:999999:1", f"{HERE}:x:1", f"{HERE}:999999:"),
        # Of another PID namespace, or of a version that named none.
        *(f"{socket.gethostname()}/0123456789ab:999999:1", f"{socket.gethostname()}:999999:1"),
    ],
)
def test_of_a_holder_that_says_nothing_we_wait_for_the_end(books: Books, holder: str) -> None:
    held_by(books, holder, 30.0)
    assert WriterLease(books.database, 60.0).acquire() is not None


def stranger_of(books: Books, seconds: float) -> WriterLease:
    """The lease of another control plane, which holds it."""
    held_by(books, STRANGER, 0.5)
    stranger = WriterLease(books.database, seconds)
    stranger.term = books.lease.term + 1
    return stranger


def held_by_at(books: Books, seconds: float) -> None:
    """The holder has renewed its lease, which ends in so many seconds by the database's clock."""
    with books.database.write() as connection:
        now = float(connection.scalar(text(f"SELECT {_now(books)}")) or 0.0)
        connection.execute(update(writer).values(holder=STRANGER, expires=now + seconds))


def test_a_lease_is_renewed(books: Books) -> None:
    stranger = stranger_of(books, 30.0)
    stranger.renew(books.database)
    held = WriterLease(books.database, 60.0).acquire()
    assert held is not None
    assert held.seconds > 20.0


def test_a_lease_that_another_has_taken_is_not_renewed(books: Books) -> None:
    held_by(books, STRANGER, 30.0)
    with pytest.raises(NotTheWriter):
        books.lease.renew(books.database)


def test_a_lease_that_is_renewed_does_not_end_when_the_clock_is_set_forward(books: Books) -> None:
    """The database's clock is an hour ahead from one look to the next: by it the lease ended long ago."""
    now = 100.0
    held_by(books, STRANGER, 6.0)
    standby = WriterLease(books.database, 6.0, monotonic=lambda: now)
    assert standby.acquire() is not None
    now += 1.0
    held_by_at(books, -3600.0)
    assert standby.acquire() is not None, "it was renewed since the last look"
    now += 2.9
    assert standby.acquire() is not None
    now += 0.2
    assert standby.acquire() is None, "it was not renewed for half a lease"


def test_a_lease_that_is_not_renewed_ends_although_the_clock_was_set_back(books: Books) -> None:
    now = 100.0
    held_by(books, STRANGER, 3600.0)
    standby = WriterLease(books.database, 6.0, monotonic=lambda: now)
    for _ in range(7):
        assert standby.acquire() is not None
        now += 1.0
    assert standby.acquire() is None


def test_a_lease_that_is_renewed_stays_held_although_the_clock_was_set_back(books: Books) -> None:
    now = 100.0
    standby = WriterLease(books.database, 6.0, monotonic=lambda: now)
    for renewal in range(20):
        held_by_at(books, 3600.0 + renewal)
        assert standby.acquire() is not None
        now += 2.0


# -- PostgreSQL: two at the same moment ---------------------------------------------------------------------------


def wait_for_a_lock(books: Books) -> None:
    """Returns when some other connection of this database waits for a lock."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    for _ in range(500):
        with books.database.read() as connection:
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
    first = Books(postgresql, acquire=False)
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


def test_a_writer_frozen_inside_a_transaction_holds_up_nobody(postgresql: str) -> None:
    """It was stopped between its first statement and its commit, and its lease has run out."""
    frozen = Books(postgresql, seconds=-1.0)
    connection = frozen.database.engine.connect()
    connection.begin()
    frozen.lease.check(connection)
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
    leader = Books(postgresql, seconds=0.5)
    beside = Database(postgresql)
    with leader.database.write() as connection:
        leader.lease.check(connection)
        for _ in range(3):
            time.sleep(0.3)
            leader.lease.renew(beside)
        with beside.read() as other:
            assert other.scalar(text(f"SELECT expires > {_now(leader)} FROM orchestrator_writer"))
    beside.close()
    leader.close()


def test_a_writer_frozen_in_a_connection_that_is_new_holds_up_nobody(postgresql: str) -> None:
    frozen = Books(postgresql, seconds=-1.0)
    frozen.database.engine.dispose()
    with frozen.database.write() as connection:
        frozen.lease.check(connection)
    connection = frozen.database.engine.connect()
    connection.begin()
    frozen.lease.check(connection)
    standby = Acquiring(postgresql)
    standby.join(5.0)
    took_over = not standby.is_alive()
    connection.invalidate()
    connection.close()
    standby.join(20.0)
    standby.database.close()
    frozen.close()
    assert took_over


# -- the lease renewed beside the loop ----------------------------------------------------------------------------


def expires(books: Books) -> float:
    with books.database.read() as connection:
        return float(connection.scalar(select(writer.c.expires)) or 0.0)


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def is_renewed(books: Books) -> None:
    """Waits until the lease is renewed."""
    before = expires(books)
    until(lambda: expires(books) > before, "it is not renewed")


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "renewal"]


def test_the_lease_is_renewed_while_the_loop_is_busy(books: Books) -> None:
    with Renewal(books.lease, books.url, every=0.02, limit=60.0):
        is_renewed(books)
        is_renewed(books)
    assert threads() == []


def test_a_loop_that_hangs_loses_its_lease_and_one_that_goes_on_keeps_it(
    books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    with Renewal(books.lease, books.url, every=0.02, limit=0.2) as renewal:
        until(lambda: "loop_hangs" in [getattr(record, "action", "") for record in caplog.records], "nothing is said")
        left = expires(books)
        time.sleep(0.2)
        assert expires(books) == left
        renewal.progress()
        is_renewed(books)


def test_a_lease_that_another_has_taken_ends_the_renewal(books: Books) -> None:
    with Renewal(books.lease, books.url, every=0.02, limit=60.0):
        held_by(books, STRANGER, 30.0)
        until(lambda: threads() == [], "it goes on")
        left = expires(books)
    assert expires(books) == left


def test_the_lease_in_a_locked_file_is_renewed_when_the_lock_is_gone(sqlite: str) -> None:
    books = Books(sqlite)
    with Renewal(books.lease, books.url, every=0.02, limit=60.0):
        with books.database.write():
            time.sleep(0.1)
        is_renewed(books)
    books.close()
    assert threads() == []


# -- what others write --------------------------------------------------------------------------------------------


def told_by_optuna(books: Books, state: TrialState = TrialState.FAIL) -> None:
    books.create()
    row = replace(attempt(0), state="running", runner="r")
    books.commit(Changes(new_trials={0: NOW}, attempts={row.token: row}))
    with optuna_storage(books.url) as storage:
        study = optuna.load_study(study_name="study", storage=storage)
        study.tell(0, 0.75 if state is TrialState.COMPLETE else None, state)


@pytest.mark.parametrize("state", [TrialState.FAIL, TrialState.COMPLETE])
@pytest.mark.parametrize(
    "changes",
    [
        Changes(ends={0: TrialEnd("COMPLETE", (0.5,), NOW + 1)}),
        Changes(ends={0: TrialEnd("FAIL", None, NOW + 1)}),
        Changes(starts={0: NOW + 1}),
        Changes(starts={0: NOW + 1}, ends={0: TrialEnd("COMPLETE", (0.5,), NOW + 1)}),
        Changes(values=[(0, 0, 0.5)]),
        Changes(params=[(0, "x", 0.5, X)]),
        Changes(user_attrs={(0, "k"): 1}),
    ],
    ids=["complete", "fail", "start", "start and end", "value", "parameter", "attribute"],
)
def test_a_trial_that_was_ended_by_somebody_else_is_not_written(
    books: Books, changes: Changes, state: TrialState
) -> None:
    told_by_optuna(books, state)
    before = books.rows()
    with pytest.raises(ForeignWrite, match="trial 0"):
        books.commit(changes)
    assert books.rows() == before


def test_the_rest_of_the_batch_is_not_written_either(books: Books) -> None:
    told_by_optuna(books)
    before = books.rows()
    batch = a_trial(1, ends={0: TrialEnd("FAIL", None, NOW)}, study_state=("paused", "", NOW))
    with pytest.raises(ForeignWrite):
        books.commit(batch)
    assert books.rows() == before
    books.load()
    books.commit(a_trial(1))
    assert len(books.optuna_trials()) == 2


def test_an_attempt_of_such_a_trial_can_still_be_told_to_stop(books: Books) -> None:
    told_by_optuna(books)
    row = attempt(0, state="stopping", runner="r", verdict="ended elsewhere")
    books.commit(Changes(attempts={row.token: row}))
    assert books.load().attempts[0].verdict == "ended elsewhere"


def test_a_trial_that_somebody_else_asked_for_is_not_taken_for_ours(books: Books) -> None:
    """A notebook calls ``study.ask()`` on a study that is being served: the number is taken."""
    books.create()
    with optuna_storage(books.url) as storage:
        optuna.load_study(study_name="study", storage=storage).ask()
    before = books.rows()
    with pytest.raises(ForeignWrite):
        books.commit(a_trial(0, params=[(0, "x", 0.5, X)]))
    assert books.rows() == before
    assert [trial.number for trial in books.load().trials] == [0]
