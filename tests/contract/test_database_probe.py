"""What a look for trouble finds in a database: versions, locks, the lease, and what has not ended."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from leased_store import NOW, LeasedStore, a_trial, attempt, everything
from optuna.storages import RDBStorage

from orchestrator.doctor.database_probe import read_database
from orchestrator.doctor.facts import Database
from orchestrator.doctor.table_facts import Known, Study
from orchestrator.model.changeset import Changes, NoteRow, TrialEnd
from orchestrator.model.notifications import DeliveryState
from orchestrator.storage import database as storage_database
from orchestrator.storage import own_tables
from orchestrator.storage.lease import WriterLease

PATIENCE = 30.0


@pytest.fixture
def on_sqlite(sqlite: str) -> Iterator[LeasedStore]:
    """For what is the same on both kinds of database."""
    made = LeasedStore(sqlite)
    yield made
    made.close()


def waited_for(condition: Callable[[Database], object], url: str) -> Database:
    """Looks until something is found."""
    deadline = time.monotonic() + PATIENCE
    while not condition(found := read_database(url)):
        assert time.monotonic() < deadline, found
    return found


def change(url: str, statement: str) -> None:
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)


@contextmanager
def in_the_way(leased: LeasedStore) -> Iterator[None]:
    """Another process has begun to write, and does not end."""
    engine = sqlalchemy.create_engine(leased.url, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        # The lock of one that takes over: it waits for the writer's transactions, and they for it.
        connection.execute(sqlalchemy.select(own_tables.writer).with_for_update())
        yield
        connection.rollback()
    engine.dispose()


def test_a_database_that_is_well(leased: LeasedStore) -> None:
    found = read_database(leased.url)
    assert (found.error, found.missing, found.read_only, found.locked, found.blocked) == ("", False, False, False, ())
    assert found.optuna is not None
    assert found.ours is not None
    assert (found.optuna.refusal(found.url), found.ours.refusal()) == (None, None)
    assert found.url == leased.url
    if leased.url.startswith("sqlite"):
        assert (found.version.split()[0], found.journal, found.connections) == ("SQLite", "wal", None)
    else:
        assert found.version.split()[0] == "PostgreSQL"
        assert found.connections is not None
        assert 0 < found.connections[0] < found.connections[1]
        assert found.clock is not None
        assert abs(found.clock.offset) - found.clock.within < 1.0, "it is this very host"


def test_it_changes_nothing(on_sqlite: LeasedStore) -> None:
    on_sqlite.create()
    on_sqlite.commit(everything())
    before = on_sqlite.rows()
    read_database(on_sqlite.url, ["token-0-1"])
    assert on_sqlite.rows() == before


def test_who_writes(on_sqlite: LeasedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_database(on_sqlite.url).books
    assert found is not None
    assert found.active
    assert found.writer is not None
    assert 0 < found.writer.left <= 60
    monkeypatch.setattr(storage_database, "start_time", lambda pid: f"{pid} is gone")
    gone = read_database(on_sqlite.url).books
    assert gone is not None
    assert gone.writer is not None
    assert (gone.active, gone.writer.gone, gone.writer.left > 0) == (False, True, True)


def test_a_lease_that_was_given_back_and_one_that_ran_out(on_sqlite: LeasedStore) -> None:
    on_sqlite.lease.release()
    found = read_database(on_sqlite.url).books
    assert found is not None
    assert found.writer is not None
    assert (found.writer.holder, found.active) == ("", False)
    assert WriterLease(on_sqlite.database, 0.001).acquire() is None
    ran_out = waited_for(lambda looked: looked.books and not looked.books.active, on_sqlite.url).books
    assert ran_out is not None
    assert ran_out.writer is not None
    assert ran_out.writer.holder
    assert ran_out.writer.left < 0


def test_what_has_not_ended(leased: LeasedStore) -> None:
    leased.create(name="over")
    leased.commit(Changes(study_state=("finished", "", NOW)), "over")
    leased.create(name="study", queue="gpu", grace=3.0)
    changes = Changes()
    for number, state, runner in ((0, "running", "r"), (1, "sent", ""), (2, "stopping", "r"), (3, "done", "r")):
        row = attempt(number, state=state, runner=runner, sent=NOW + 1, started=NOW + 2 if runner else None)
        row.ended = NOW + 3 if state == "done" else None
        changes.new_trials[number], changes.attempts[row.token] = NOW, row
    changes.ends[2] = TrialEnd("PRUNED", (0.5,), NOW + 4)
    changes.system_attrs[0, "orchestrator:extra"] = True
    leased.commit(changes)
    leased.orders.issue("key", "me", "pause", "study", {})
    begun = time.time()
    found = read_database(leased.url, ["token-0-1", "token-3-1", "unknown"]).books
    returned = time.time()
    assert found is not None
    (study,) = found.studies
    assert study == Study("study", "running", "gpu", 3.0, study.changed, budget=7, trials=4, live=3)
    assert found.ended == 1
    assert [(each.token, each.state, each.runner, each.sent) for each in found.attempts] == [
        ("token-0-1", "running", "r", NOW + 1),
        ("token-1-1", "sent", "", NOW + 1),
        ("token-2-1", "stopping", "r", NOW + 1),
    ]
    running, sent, stopping = found.attempts
    assert [running.ended, sent.ended] == [None, None]
    assert stopping.ended is not None
    # All of them are measured from one moment, which is somewhere between the call and its return.
    moments = [running.age + 2, sent.age + 1, stopping.age + 2, stopping.ended + 4]
    assert moments == pytest.approx([moments[0]] * 4, abs=1e-3)
    assert begun - 1e-3 <= NOW + moments[0] <= returned + 1e-3
    assert found.unattended == (("study", 3),), "it runs, and its only attempt is over"
    assert [(each.operation, each.study, each.age < 60) for each in found.commands] == [("pause", "study", True)]
    assert {token: known.state for token, known in found.known.items()} == {"token-0-1": "running", "token-3-1": "done"}
    assert found.known["token-0-1"] == Known("running")
    ended = found.known["token-3-1"].ended
    assert ended is not None
    assert begun - 1e-3 <= NOW + 3 + ended <= returned + 1e-3


def test_a_trial_that_a_notebook_asked_for(leased: LeasedStore) -> None:
    leased.create()
    leased.commit(a_trial())
    storage = RDBStorage(leased.url)
    optuna.load_study(study_name="study", storage=storage).ask()
    storage.remove_session()
    storage.engine.dispose()
    found = read_database(leased.url).books
    assert found is not None
    assert found.unattended == (("study", 1),)
    leased.commit(Changes(study_state=("stopped", "", NOW)))
    stopped = read_database(leased.url).books
    assert stopped is not None
    assert stopped.unattended == (), "a stopped study needs no attention"


def test_a_spec_that_cannot_be_read(on_sqlite: LeasedStore) -> None:
    on_sqlite.create()
    with on_sqlite.database.write() as connection:
        connection.execute(sqlalchemy.update(own_tables.studies).values(spec='{"format": 99}'))
    found = read_database(on_sqlite.url).books
    assert found is not None
    assert found.studies[0].name == "study"
    assert found.studies[0].error


def test_more_attempts_are_asked_about_than_one_statement_takes(leased: LeasedStore) -> None:
    leased.create()
    leased.commit(a_trial())
    found = read_database(leased.url, [*map(str, range(2_500)), "token-0-1"]).books
    assert found is not None
    assert found.known == {"token-0-1": Known("queued")}


@pytest.mark.parametrize("whose", ["older", "newer", "ours"])
def test_another_version_is_named_and_nothing_is_read(on_sqlite: LeasedStore, whose: str) -> None:
    with on_sqlite.database.write() as connection:
        if whose == "ours":
            connection.exec_driver_sql("UPDATE orchestrator_alembic_version SET version_num = '0001'")
        else:
            version = "v3.0.0.d" if whose == "older" else "v99.0.0.a"
            connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{version}'")
    found = read_database(on_sqlite.url)
    assert (found.error, found.books) == ("", None)
    assert found.optuna is not None
    assert found.ours is not None
    refusals = (found.optuna.refusal(found.url), found.ours.refusal())
    assert [refusal is not None for refusal in refusals] == [whose != "ours", whose == "ours"]
    assert found.optuna.known is (whose != "newer")


def test_the_command_that_the_remedy_names_migrates_the_tables(tmp_path: Path, sqlite: str) -> None:
    with closing(sqlite3.connect(tmp_path / "study.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v3.0.0.d'")
        connection.commit()
    found = read_database(sqlite)
    assert found.optuna is not None
    refusal = found.optuna.refusal(found.url)
    assert refusal is not None
    command = refusal.remedy.rpartition(": optuna ")[2].split()
    optuna_program = Path(sys.executable).with_name("optuna")
    subprocess.run([optuna_program, *command], check=True, capture_output=True, timeout=60)
    migrated = read_database(sqlite)
    assert migrated.optuna is not None
    assert migrated.optuna.refusal(migrated.url) is None
    assert migrated.books is not None


def test_optunas_tables_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/plain.db"
    storage = RDBStorage(url)
    storage.remove_session()
    storage.engine.dispose()
    found = read_database(url)
    assert (found.error, found.ours, found.books, found.journal) == ("", None, None, "delete")


def test_a_process_that_locks_sqlite_is_noticed(tmp_path: Path, sqlite: str) -> None:
    with closing(sqlite3.connect(tmp_path / "study.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        found = read_database(sqlite)
        assert found.locked
        assert found.books is not None, "reading goes on"
        other.execute("ROLLBACK")
    assert not read_database(sqlite).locked


def test_a_file_that_cannot_even_be_read_is_not_waited_for(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "plain.db", isolation_level=None)) as other:
        other.execute("CREATE TABLE studies (study_id INTEGER)")
        other.execute("BEGIN EXCLUSIVE")
        found = read_database(f"sqlite:///{tmp_path}/plain.db")
    assert (found.locked, found.error) == (True, "another process has locked the file")


def test_a_client_that_keeps_the_writer_waiting_is_named(postgresql: str) -> None:
    leased = LeasedStore(postgresql)
    with in_the_way(leased):
        waiting = threading.Thread(target=leased.store.commit, args=({},))
        waiting.start()
        found = waited_for(lambda looked: looked.blocked, postgresql)
    waiting.join(PATIENCE)
    (blocked,) = found.blocked
    assert (blocked.state, blocked.application) == ("idle in transaction", "")
    assert blocked.pid > 0
    assert blocked.seconds >= 0
    assert not read_database(postgresql).blocked
    leased.close()


def test_a_database_that_takes_no_writes(postgresql: str) -> None:
    name = sqlalchemy.make_url(postgresql).database
    change(postgresql, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    assert read_database(postgresql).read_only


def test_what_is_not_there_or_not_to_be_reached(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    for name in ("missing.db", "empty.db"):
        found = read_database(f"sqlite:///{tmp_path}/{name}")
        assert found.missing
        assert found.error
    assert not (tmp_path / "missing.db").exists()
    assert (tmp_path / "empty.db").stat().st_size == 0
    away = read_database("postgresql://user:secret@127.0.0.1:1/none")
    assert (away.missing, "cannot be reached" in away.error) == (False, True)
    assert "secret" not in repr(away)


def test_an_empty_server_database(postgresql: str) -> None:
    change(postgresql, "DROP SCHEMA public CASCADE")
    assert read_database(postgresql).missing


def test_who_was_not_told_of_late_is_found(leased: LeasedStore) -> None:
    leased.create(notify={"command": ["x"]})
    rows = [NoteRow(key, "finished", "command", "{}", NOW) for key in ("long ago", "of late", "owed")]
    leased.commit(Changes(notes=rows))
    moments = {"long ago": time.time() - 90_000, "of late": time.time() - 60}
    states = {key: DeliveryState("failed", 1, "ended with exit code 3", at) for key, at in moments.items()}
    leased.store.commit({}, {}, states)
    found = read_database(leased.url).books
    assert found is not None
    (untold,) = found.untold
    assert (untold.study, untold.event, untold.kind, untold.tries) == ("study", "finished", "command", 1)
    assert 60 <= untold.age < 600
