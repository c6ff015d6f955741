"""One study is poisoned and one is deleted, under real processes: a third one ends as it does alone."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import optuna
from fleet import Fleet, wait_for

from orchestrator.queries.readonly import open_study_reader

SPEC = """
name = "{name}"
objective = "objectives:steady"
trials = {trials}
seed = 1
pruner.name = "none"
[args]
epochs = 10
seconds = 0.05
[space]
x = {{ type = "float", low = 0.0, high = 1.0 }}
"""
POISON = """
CREATE TRIGGER poison BEFORE INSERT ON trial_intermediate_values
WHEN NEW.step = 4
AND NEW.trial_id IN (SELECT trial_id FROM trials JOIN studies USING (study_id) WHERE study_name = 'bad')
BEGIN SELECT RAISE(ABORT, 'poisoned'); END
"""


@contextlib.contextmanager
def database(fleet: Fleet) -> Iterator[sqlite3.Connection]:
    assert fleet.servers is not None
    with contextlib.closing(sqlite3.connect(fleet.servers.storage_url.removeprefix("sqlite:///"), timeout=60)) as it:
        yield it
        it.commit()


def shown(fleet: Fleet, *arguments: str) -> Any:
    return json.loads(fleet.call(*arguments, "--json").stdout)


def state(fleet: Fleet, name: str) -> str:
    assert fleet.servers is not None
    with open_study_reader(fleet.servers.storage_url) as history:
        return history.overview(name).progress.state


def test_a_poisoned_and_a_deleted_study_harm_themselves_alone(running_embedded: Fleet) -> None:
    fleet = running_embedded
    servers = fleet.servers
    assert servers is not None
    first = fleet.start("serve")
    wait_for(lambda: "writing in term" in first.log.read_text(), "the database is prepared")
    # Rows of the study are refused, as those of a value would be that the database does not take.
    with database(fleet) as connection:
        connection.execute(POISON)
    fleet.start("worker", "--slots", "2")
    for name, trials in (("bad", 3), ("gone", 500), ("good", 8)):
        fleet.submit(fleet.write_spec(SPEC.format(name=name, trials=trials), f"{name}.toml"))
    wait_for(lambda: state(fleet, "bad") == "suspended", "the poisoned study is suspended")

    cause = "IntegrityError: poisoned; 'orchestrator resume bad' takes it up again"
    assert cause in fleet.call("status", "bad").stdout
    assert f"bad is suspended: {cause}" in fleet.call("ls").stdout
    doctor = shown(fleet, "doctor")
    (finding,) = [each for each in doctor["findings"] if each["code"] == "study-suspended"]
    assert finding["about"] == "study bad"
    assert "orchestrator resume bad" in finding["remedy"]

    gone = servers.study("gone")
    wait_for(lambda: gone.trials, "the study that is deleted has begun")
    optuna.delete_study(study_name="gone", storage=gone._storage)
    wait_for(lambda: "study gone was deleted: its runners stop" in first.log.read_text(), "it is let go")
    wait_for(lambda: state(fleet, "good") == "finished", "the third study ends")
    trials = servers.study("good").trials
    assert [(each.state.name, len(each.intermediate_values)) for each in trials] == [("COMPLETE", 10)] * 8
    assert "Traceback" not in first.log.read_text()

    # A restart does not loop, and what has been reported meanwhile is not lost.
    first.kill()
    second = fleet.start("serve")
    wait_for(lambda: "study bad stays suspended" in second.log.read_text(), "it stays suspended")
    answer = fleet.call("resume", "bad")
    assert answer.returncode == 0, answer.stderr
    wait_for(lambda: second.log.read_text().count("study bad is suspended: IntegrityError") == 1, "the cause is there")
    with database(fleet) as connection:
        connection.execute("DROP TRIGGER poison")
    assert fleet.call("resume", "bad").stdout == "running\n"
    wait_for(lambda: state(fleet, "bad") == "finished", "it comes to its end")
    trials = servers.study("bad").trials
    assert [(each.state.name, len(each.intermediate_values)) for each in trials] == [("COMPLETE", 10)] * 3
    with database(fleet) as connection:
        causes = {cause for (cause,) in connection.execute("SELECT DISTINCT cause FROM orchestrator_attempts")}
    # A trial that asked for a parameter meanwhile has left its slot to the others.
    assert causes <= {"finished", "obeyed"}, "no runner was taken for lost"
