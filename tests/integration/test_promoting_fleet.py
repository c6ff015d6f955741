"""Successive halving that promotes, with real workers: trials pause at rungs and go on from their checkpoints."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy
from fleet import Fleet, Servers, follow_to_end, notices, real_servers_only, wait_for
from optuna.trial import TrialState

from orchestrator.model.progress_events import Progress

SPEC = """
name = "rungs"
objective = "objectives:climbs"
direction = "maximize"
trials = 27
max_steps = 27
seed = 3
[args]
folder = "{folder}"
{more}
[pruner]
name = "asha"
mode = "promotion"
min_resource = 1
reduction_factor = 3
"""
RUNGS = [{"step": 1, "trials": 27}, {"step": 3, "trials": 9}, {"step": 9, "trials": 3}, {"step": 27, "trials": 1}]


def spec(folder: Path, more: str = "") -> str:
    return SPEC.format(folder=folder, more=more)


def trained(folder: Path) -> Counter[tuple[int, int]]:
    """Returns how often each (trial, epoch) was trained."""
    return Counter(
        (int(path.stem), int(line.split()[0]))
        for path in folder.glob("*.epochs")
        for line in path.read_text().splitlines()
    )


def trainers(folder: Path, number: int) -> set[str]:
    return {line.split()[1] for line in (folder / f"{number}.epochs").read_text().splitlines()}


def rows(servers: Servers, query: str) -> list[sqlalchemy.Row[tuple[object, ...]]]:
    engine = sqlalchemy.create_engine(servers.storage_url)
    with engine.connect() as connection:
        found = list(connection.execute(sqlalchemy.text(query)))
    engine.dispose()
    return found


def checkpoint_files(it: Fleet) -> list[Path]:
    # Unlike rglob, walk does not mind a folder that goes while it looks.
    return [Path(place, name) for place, _, names in os.walk(it.folder / "data" / "checkpoints") for name in names]


def wait_for_paused(servers: Servers, count: int) -> None:
    for notice in notices(servers.client(), "rungs"):
        if isinstance(notice, Progress) and notice.paused >= count:
            return


@pytest.mark.parametrize("saves", ["after", "before"])
def test_arriving_best_first_the_rungs_hold_27_9_3_and_1(alone: Fleet, tmp_path: Path, saves: str) -> None:
    """Whether the objective saves before or after it reports, no epoch is trained twice and no value is lost."""
    alone.write_spec(spec(tmp_path, f'saves = "{saves}"'))

    done = alone.call("run", "spec.toml", "--slots", "1", "--json")

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["rungs"] == RUNGS
    assert result["trials"] == {"complete": 1, "pruned": 26, "failed": 0}
    assert result["best"]["number"] == 0
    assert result["epochs"]["trained"] == 27 + 2 * 9 + 6 * 3 + 18 * 1
    epochs = trained(tmp_path)
    assert set(epochs.values()) == {1}
    assert epochs.total() == result["epochs"]["trained"]
    assert not checkpoint_files(alone), "checkpoints go when their trials have ended"


@real_servers_only
def test_a_promoted_trial_goes_on_on_any_worker(running: Fleet, tmp_path: Path) -> None:
    servers = running.servers
    assert servers is not None
    running.start("serve")
    running.start("worker", "--slots", "1", "--name", "first")
    running.start("worker", "--slots", "1", "--name", "second")
    running.submit(running.write_spec(spec(tmp_path, "seconds = 0.01")))

    end = follow_to_end(servers.client(), "rungs")

    assert (end.state, end.complete + end.pruned, end.failed, end.paused) == ("finished", 27, 0, 0), running.logs()
    trials = servers.study("rungs").get_trials()
    for trial in trials:
        assert list(trial.intermediate_values) == list(range(1, len(trial.intermediate_values) + 1))
    assert set(trained(tmp_path).values()) == {1}
    assert any(len(trainers(tmp_path, trial.number)) > 1 for trial in trials), "no trial went on in another process"
    promotions = rows(
        servers, "SELECT trial, step, value, threshold FROM orchestrator_decisions WHERE action='promote'"
    )
    assert promotions
    assert all(row.value >= row.threshold for row in promotions)
    ends = rows(servers, "SELECT trial FROM orchestrator_decisions WHERE action='end'")
    assert {row.trial for row in ends} == {each.number for each in trials if each.state is TrialState.PRUNED}
    assert not rows(servers, "SELECT * FROM orchestrator_checkpoints")
    wait_for(lambda: not checkpoint_files(running), "checkpoints go when their trials have ended")


def test_the_table_of_synchronous_halving_is_27_9_3_1_in_any_order(alone: Fleet, tmp_path: Path) -> None:
    alone.write_spec(spec(tmp_path).replace('"promotion"', '"sync"'))

    done = alone.call("run", "spec.toml", "--slots", "2", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["rungs"] == RUNGS


def test_a_search_that_is_killed_among_its_rungs_goes_on_there(alone: Fleet, tmp_path: Path) -> None:
    alone.write_spec(spec(tmp_path, "seconds = 0.02"))
    run = alone.start("run", "spec.toml", "--slots", "1")
    wait_for(lambda: len(trained(tmp_path)) > 40, "it is in the middle")
    run.stop(signal.SIGINT)

    done = alone.call("run", "spec.toml", "--slots", "1", "--json")

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["rungs"], result["trials"]) == (RUNGS, {"complete": 1, "pruned": 26, "failed": 0})
    assert max(trained(tmp_path).values()) <= 2, "at most the epoch that was interrupted is trained again"


def test_a_lost_worker_costs_what_it_had_trained_since_the_checkpoint(running_embedded: Fleet, tmp_path: Path) -> None:
    servers = running_embedded.servers
    assert servers is not None
    running_embedded.start("serve")
    worker = running_embedded.start("worker", "--slots", "1", "--name", "first")
    running_embedded.submit(running_embedded.write_spec(spec(tmp_path, "seconds = 0.05")))
    wait_for(lambda: len(trained(tmp_path)) > 20, "it is in the middle")
    os.kill(worker.pid, signal.SIGKILL)
    worker.popen.wait()
    running_embedded.start("worker", "--slots", "1", "--name", "second")

    end = follow_to_end(servers.client(), "rungs")

    assert (end.state, end.complete, end.pruned) == ("finished", 1, 26), running_embedded.logs()
    again = [epoch for epoch, times in trained(tmp_path).items() if times > 1]
    assert len(again) <= 1
    wait_for(lambda: not checkpoint_files(running_embedded), "checkpoints go when their trials have ended")


def test_an_objective_without_checkpoints_is_refused_clearly(alone: Fleet, tmp_path: Path) -> None:
    alone.write_spec(spec(tmp_path, 'saves = "never"'))

    done = alone.call("run", "spec.toml", "--slots", "1", "--json")

    assert done.returncode == 1
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["state"] == "failed"
    assert "save_checkpoint" in result["reason"]
    assert "restart = true" in result["reason"]
    assert len(trained(tmp_path)) <= 3, "it is found out with the first trial, at the next rung"


def test_where_the_spec_allows_it_a_promoted_trial_begins_again(alone: Fleet, tmp_path: Path) -> None:
    alone.write_spec(spec(tmp_path, 'saves = "never"') + "restart = true\n")

    done = alone.call("run", "spec.toml", "--slots", "1", "--json")

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["rungs"] == RUNGS
    assert trained(tmp_path)[0, 1] == 4, "the best one was begun four times"
