"""A pruned trial is left in the middle of its epoch, in the same process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import sqlalchemy
from fleet import Fleet, follow_to_end, wait_for
from optuna.trial import TrialState

SPEC = """
name = "long"
objective = "objectives:long_epochs"
direction = "maximize"
trials = 11
seed = 5
[args]
folder = "{folder}"
[pruner]
name = "median"
n_startup_trials = 1
"""


def test_a_trial_is_left_in_the_middle_of_a_20_s_epoch(running: Fleet, tmp_path: Path) -> None:
    servers = running.servers
    assert servers is not None
    notes = tmp_path / "notes"
    notes.mkdir()
    running.start_fresh("serve")
    running.start_fresh("worker", "--slots", "1")
    running.submit(running.write_spec(SPEC.format(folder=notes)))

    end = follow_to_end(servers.client(), "long")

    assert (end.complete, end.pruned, end.failed) == (6, 5, 0), running.logs()
    # The study has ended with the last decision; the trial that it was about may be leaving only now.
    wait_for(lambda: all(row.state == "done" for row in _rows(servers.storage_url)[1].values()), "everybody has left")
    left = {number: json.loads((notes / f"{number}.json").read_text()) for number in range(11)}
    pruned = [trial.number for trial in servers.study("long").trials if trial.state is TrialState.PRUNED]
    assert pruned == [1, 3, 5, 7, 9]
    assert all(left[number]["interrupted"] for number in pruned)
    assert len({note["pid"] for note in left.values()}) == 1, "the trainer survives and takes the next trial"
    decided, attempts = _rows(servers.storage_url)
    # An epoch lasts 20 s: whatever is far below that was left in its middle. The fastest of five says what the path
    # itself takes; the others may have met a busy machine.
    delays = sorted(left[number]["left"] - decided[number] for number in pruned)
    assert delays[-1] < 5.0
    assert delays[0] < 1.0
    for number in pruned:
        assert attempts[number].verdict == "pruned"
        assert attempts[number].cause == "obeyed"
        assert 0.0 < attempts[number].latency < 5.0


def _rows(url: str) -> tuple[dict[int, float], dict[int, Any]]:
    """Returns when each pruned trial was decided on, and the attempt of each trial."""
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        decisions = connection.execute(sqlalchemy.text("SELECT trial, at FROM orchestrator_decisions")).all()
        attempts = connection.execute(sqlalchemy.text("SELECT * FROM orchestrator_attempts")).all()
    engine.dispose()
    return {row.trial: row.at for row in decisions}, {row.trial: row for row in attempts}
