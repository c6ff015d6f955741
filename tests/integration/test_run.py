"""``orchestrator run``: the whole stack under one roof, interrupted in every way, and never doubled."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from fleet import PATIENCE, Fleet, Process, Servers, command_line, fleet, follow_to_end, wait_for, with_environment
from optuna.trial import FrozenTrial, TrialState

from orchestrator.control import journal
from orchestrator.control.journal_record import Opened, Record
from orchestrator.storage.database import Database
from orchestrator.storage.lease import WriterLease
from orchestrator.storage.migrations import HEAD
from orchestrator.storage.store import Store

ROOT = Path(__file__).parents[2]
SPEC = """
name = "one"
objective = "objectives:steady"
direction = "maximize"
trials = 16
max_steps = 6
seed = 4
[args]
seconds = 0.05
[pruner]
name = "median"
n_startup_trials = 2
n_warmup_steps = 1
"""


def finish_run(it: Fleet) -> dict[str, Any]:
    done = it.call("run", str(it.write_spec(SPEC)), "--slots", "1", "--json")
    assert done.returncode == 0, done.stderr + _inner_logs(it)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def rows(it: Fleet) -> list[tuple[Any, ...]]:
    """Returns what must repeat exactly: numbers, parameters, states, values, decisions; no times."""
    return [_row(trial) for trial in trials(it)]


def trials(it: Fleet) -> list[FrozenTrial]:
    servers = Servers("", f"sqlite:///{it.folder / 'data' / 'studies.db'}")
    found = servers.study("one").get_trials()
    servers.close()
    return found


def _row(trial: FrozenTrial) -> tuple[Any, ...]:
    return (
        trial.number,
        trial.state.name,
        trial.params,
        list(trial.intermediate_values.items()),
        trial.values,
        trial.user_attrs,
    )


def _inner_logs(it: Fleet) -> str:
    return "\n".join(f"== {path.name}\n{path.read_text()}" for path in (it.folder / "data" / "logs").glob("*.log"))


def nothing_left(it: Fleet) -> bool:
    left = with_environment("ORCHESTRATOR_DATA_DIR", str(it.folder / "data"))
    return not left


def wait_until_in_the_middle(process: Process, ended: int = 4) -> None:
    wait_for(
        lambda: process.log.read_text().count("\ntrial ") >= ended or process.popen.poll() is not None,
        f"{ended} trials have ended",
    )
    assert process.popen.poll() is None, process.log.read_text()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
    """The result and the rows of a run that nothing happened to."""
    with fleet(None, tmp_path_factory.mktemp("undisturbed")) as it:
        result = finish_run(it)
        assert nothing_left(it)
        return result, rows(it)


def test_the_json_object_has_what_it_promises(undisturbed: tuple[dict[str, Any], list[tuple[Any, ...]]]) -> None:
    result, found = undisturbed
    assert set(result) == {
        *("study", "storage", "state", "best", "trials", "epochs"),
        *("prune_latency_ms", "slot_gap_ms", "slot_s", "wall_s"),
    }
    assert (result["study"], result["state"]) == ("one", "finished")
    assert set(result["best"]) == {"number", "value", "params"}
    assert sum(result["trials"].values()) == 16 == len(found)
    assert result["trials"]["pruned"] > 2
    trained = sum(len(row[3]) for row in found)
    assert result["epochs"] == {"trained": trained, "budget": 16 * 6, "saved": 16 * 6 - trained}
    assert set(result["prune_latency_ms"]) == set(result["slot_gap_ms"]) == {"p50", "p99"}


def test_the_same_seed_gives_the_same_search(
    alone: Fleet, undisturbed: tuple[dict[str, Any], list[tuple[Any, ...]]]
) -> None:
    finish_run(alone)
    assert rows(alone) == undisturbed[1]


def test_ctrl_c_leaves_nothing_behind_and_resume_goes_on(
    alone: Fleet, undisturbed: tuple[dict[str, Any], list[tuple[Any, ...]]]
) -> None:
    run = alone.start_fresh("run", str(alone.write_spec(SPEC)), "--slots", "1")
    wait_until_in_the_middle(run)

    assert run.stop(signal.SIGINT) == 130

    assert nothing_left(alone)
    said = run.log.read_text()
    assert "goes on from here" in said
    assert "study one interrupted" in said
    listed = alone.call("ls").stdout
    assert listed.splitlines()[1].split()[:2] == ["one", "interrupted"]
    assert "'orchestrator resume one'" in listed
    before = trials(alone)
    assert 4 <= sum(trial.state.is_finished() for trial in before) < 16
    resumed = alone.call("resume", "one", "--slots", "1")
    assert resumed.returncode == 0, resumed.stderr
    assert "result         finished" in resumed.stdout
    assert rows(alone) == undisturbed[1]
    assert nothing_left(alone)


def test_a_closed_terminal_ends_it_in_order(alone: Fleet) -> None:
    spec, seen = alone.write_spec(SPEC), b""
    master, slave = os.openpty()
    # A session's first process takes the terminal that it opens for its own.
    command = ["sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(slave)]
    run = subprocess.Popen(
        [*command, sys.executable, "-m", "orchestrator", "run", str(spec), "--slots", "1"],
        env=alone.environment() | {"TERM": "dumb"},
        cwd=alone.folder,
        start_new_session=True,
    )
    try:
        while b"\ntrial 3 " not in seen and run.poll() is None:
            seen += os.read(master, 4096)
        os.close(master)
        with contextlib.suppress(ProcessLookupError):
            run.send_signal(signal.SIGHUP)  # as a shell does, besides the kernel
        assert run.wait(PATIENCE) == 130, seen
    finally:
        os.close(slave)
        run.kill()
        run.wait()
    assert nothing_left(alone)


@pytest.mark.parametrize("whom", ["everything", "run alone"])
def test_after_kill_9_the_same_command_goes_on(
    alone: Fleet, whom: str, undisturbed: tuple[dict[str, Any], list[tuple[Any, ...]]]
) -> None:
    run = alone.start("run", str(alone.write_spec(SPEC)), "--slots", "1")
    wait_until_in_the_middle(run)
    victims = with_environment("ORCHESTRATOR_DATA_DIR", str(alone.folder / "data"))
    assert len(victims) >= 5, [command_line(pid) for pid in victims]
    for pid in victims if whom == "everything" else [run.pid]:
        os.kill(pid, signal.SIGKILL)
    if whom == "everything":
        listed = alone.call("ls").stdout
        assert listed.splitlines()[1].split()[:2] == ["one", "unattended"]
        assert "no control plane has been seen since" in listed
        waits = alone.environment() | {"IMPORT_WAITS_FOR": str(alone.folder / "imported")}
        early = alone.start("run", str(alone.folder / "spec.toml"), "--slots", "1", environment=waits)
        wait_for(lambda: "importing objective" in early.log.read_text(), "the import of its objective")
        early.popen.send_signal(signal.SIGINT)
        wait_for(lambda: "study one interrupted" in early.log.read_text(), "its interruption")
        (alone.folder / "imported").touch()
        assert early.popen.wait(PATIENCE) == 130
        assert alone.call("ls").stdout.splitlines()[1].split()[:2] == ["one", "interrupted"]

    result = finish_run(alone)  # at once: what was orphaned is gone before anything is started again

    assert result["state"] == "finished"
    assert rows(alone) == undisturbed[1]
    assert nothing_left(alone)


def test_more_trials_continue_a_finished_study(alone: Fleet) -> None:
    assert sum(finish_run(alone)["trials"].values()) == 16
    servers = Servers("", f"sqlite:///{alone.folder / 'data' / 'studies.db'}")
    servers.study("one").ask()  # in a notebook whose kernel dies
    servers.close()
    done = alone.call("run", str(alone.folder / "spec.toml"), "--trials", "18", "--json")
    assert done.returncode == 0, done.stderr
    assert (
        done.stderr.count("trial 16 was left RUNNING by another program, without an attempt: it is attempted here") == 1
    )
    assert sum(json.loads(done.stdout.splitlines()[-1])["trials"].values()) == 18
    again = alone.call("run", str(alone.folder / "spec.toml"), "--trials", "18", "--json")
    assert sum(json.loads(again.stdout.splitlines()[-1])["trials"].values()) == 18


def test_a_broken_objective_stops_the_search_and_says_so(alone: Fleet) -> None:
    spec = alone.write_spec('name = "broken"\nobjective = "objectives:fails"\ntrials = 10\n')
    done = alone.call("run", str(spec), "--slots", "1", "--json")
    assert done.returncode == 1
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["state"] == "failed"
    assert result["reason"] == "the first 3 trials all failed alike: ValueError: the data set is not there"
    assert "Traceback" in done.stderr
    assert "objectives.py" in done.stderr
    assert nothing_left(alone)


def test_a_file_of_an_earlier_version_is_copied_and_upgraded(alone: Fleet) -> None:
    path = alone.folder / "data" / "studies.db"
    path.parent.mkdir(exist_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript((ROOT / "tests" / "contract" / "databases" / "0001-sqlite.sql").read_text())
    spec = alone.write_spec(SPEC.replace("trials = 16", "trials = 2"))
    done = alone.call("run", str(spec), "--slots", "1", "--json")
    assert done.returncode == 0, done.stderr
    copy = f"{path.name}.before-{HEAD}"
    (line,) = [line for line in done.stderr.splitlines() if "upgraded its tables from revision 0001" in line]
    assert line.endswith(copy)
    with contextlib.closing(sqlite3.connect(path.with_name(copy))) as connection:
        assert connection.execute("SELECT schema_version FROM orchestrator_meta").fetchall() == [(1,)]
    listed = json.loads(alone.call("ls", "--json").stdout)
    assert {"kept", "ended", "plain", "one"} == {study["study"] for study in listed}


def test_run_works_on_configured_servers(running: Fleet) -> None:
    result = finish_run(running)
    assert result["state"] == "finished"
    assert running.servers is not None
    found = running.servers.study("one").get_trials()
    assert [trial.number for trial in found] == list(range(16))
    assert all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in found)


def test_a_recorded_run_replays_to_the_same_rows(running_embedded: Fleet, tmp_path: Path) -> None:
    """Without Redis, Celery or a clock: from the recording alone, into another database."""
    it = running_embedded
    assert it.servers is not None
    recording = tmp_path / "recording"
    it.start("serve", "--journal", str(recording))
    it.start("worker", "--slots", "2")
    it.submit(it.write_spec(SPEC))
    follow_to_end(it.servers.client(), "one")
    for process in reversed(it.processes):
        process.stop()

    url = f"sqlite:///{tmp_path / 'replayed.db'}"
    replayed = Servers("", url)
    _replay(recording, url)

    expected = [_row(trial) + _times(trial) for trial in it.servers.study("one").get_trials()]
    assert [_row(trial) + _times(trial) for trial in replayed.study("one").get_trials()] == expected
    assert _ours(url) == _ours(it.servers.storage_url)
    replayed.close()


def _times(trial: FrozenTrial) -> tuple[Any, ...]:
    return trial.datetime_start, trial.datetime_complete, trial.system_attrs


def _replay(recording: Path, url: str) -> None:
    database = Database(url)
    database.prepare()
    lease = WriterLease(database, 60)
    assert lease.acquire() is None
    store = Store(database, lease)

    def sink(record: Record, batch: Any) -> None:
        opened = record.input
        if isinstance(opened, Opened) and store.state(record.study) is None:
            store.create(journal.Spec.from_json(opened.spec), record.at, uid=opened.uid, seed=opened.seed)
        store.commit({record.study: batch.changes})

    journal.replay(journal.read(recording), sink)
    store.close()
    database.close()


def _ours(url: str) -> list[Any]:
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        found = [
            connection.execute(sqlalchemy.text(query)).all()
            for query in (
                "SELECT trial, rule, step, value, threshold, peers FROM orchestrator_decisions ORDER BY trial",
                "SELECT token, trial, number, state, runner, verdict, cause FROM orchestrator_attempts ORDER BY 1",
            )
        ]
    engine.dispose()
    return found
