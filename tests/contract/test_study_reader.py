"""What a look into the database finds, on every database; and that it changes nothing."""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from leased_store import KIND, NOW, LeasedStore, X, a_trial, attempt, everything, optuna_storage

from orchestrator.common.errors import BadInput
from orchestrator.model.changeset import Changes, DecisionRow, TrialEnd
from orchestrator.queries.readonly import open_study_reader
from orchestrator.queries.replay import Candidate, compare
from orchestrator.queries.study_reader import StudyReader
from orchestrator.spec.inline_pruner import read_pruner
from orchestrator.terminal.why_text import explain


@pytest.fixture
def history(leased: LeasedStore) -> Iterator[StudyReader]:
    """Whatever is written before its first use is found."""
    leased.create(max_steps=27, pruner={"name": "median"})
    leased.commit(everything())
    with open_study_reader(leased.url) as found:
        yield found


def test_a_trial_is_read_with_all_that_was_kept(leased: LeasedStore) -> None:
    leased.create(max_steps=27, pruner={"name": "median"})
    leased.commit(
        a_trial(
            values=[(0, 2, 0.75), (0, 1, math.nan), (0, 3, -math.inf)],
            params=[(0, "x", 0.1, X), (0, "kind", 1, KIND)],
            user_attrs={(0, "failure"): {"cause": "exception", "error": "E"}},
            redone=[(0, 1, 0.5), (0, 1, 0.6), (0, 2, 0.5)],
            decisions=[
                DecisionRow(0, "shadow", "asha", 1, math.nan, None, 3, NOW + 1),
                DecisionRow(0, "prune", "median", 3, -math.inf, 0.5, 7, NOW + 2),
            ],
            closest={0: DecisionRow(0, "keep", "median", 2, 0.75, 0.5, 6, NOW)},
            ends={0: TrialEnd("PRUNED", (-math.inf,), NOW + 2)},
        )
    )
    done = attempt(0, state="done", ended=NOW + 3, verdict="pruned", verdict_step=3, latency=0.01)
    leased.commit(Changes(attempts={done.token: done}))
    with open_study_reader(leased.url) as found:
        trial = found.trial("study", "0")
    assert (trial.number, trial.state, trial.values) == (0, "PRUNED", (-math.inf,))
    assert trial.params == {"x": 0.1, "kind": "b"}
    assert repr(dict(trial.steps)) == repr({2: 0.75, 1: math.nan, 3: -math.inf})
    assert trial.failure == {"cause": "exception", "error": "E"}
    assert trial.redone == 2
    shadow, prune = trial.decisions
    assert repr(shadow) == repr(DecisionRow(0, "shadow", "asha", 1, math.nan, None, 3, NOW + 1))
    assert prune == DecisionRow(0, "prune", "median", 3, -math.inf, 0.5, 7, NOW + 2)
    assert trial.closest == DecisionRow(0, "keep", "median", 2, 0.75, 0.5, 6, NOW)
    assert list(trial.attempts) == [done]
    assert (trial.study.direction, trial.study.max_steps, trial.study.trials) == ("minimize", 27, 1)
    assert explain(trial).splitlines()[:2] == [
        "trial 0 was pruned at epoch 3: best value so far -inf, the median of 7 completed trials at epoch 3 is 0.5",
        "  (stopped 10.0 ms after the report of that epoch; 24 of 27 epochs not trained)",
    ]


def test_every_kind_of_trial_can_be_told(history: StudyReader) -> None:
    assert [explain(history.trial("study", str(number))).splitlines()[0][:20] for number in range(4)] == [
        "trial 0 completed wi",
        "trial 1 was pruned a",
        "trial 2 waits in the",
        "trial 3 was ended as",
    ]


def test_the_completed_are_known_to_each(history: StudyReader) -> None:
    study = history.trial("study", "2").study
    assert (study.completed, study.trials, study.state, study.reason) == ({0: -0.5}, 4, "paused", "because")


def test_reports_come_in_the_order_of_their_recording(leased: LeasedStore) -> None:
    leased.create()
    leased.commit(Changes(new_trials={0: NOW, 1: NOW + 1}))
    order = [(1, 0, 0.5), (0, 3, 0.25), (0, 1, 0.125), (1, 1, math.inf), (0, 2, 1.0)]
    for start in range(0, 4, 2):
        leased.commit(Changes(values=order[start : start + 2]))
    leased.commit(Changes(values=order[4:], ends={0: TrialEnd("COMPLETE", (1.0,), NOW + 5)}))
    with open_study_reader(leased.url) as found:
        recording = found.recording("study")
    assert list(recording.reports) == order
    assert [(each.state, each.value, each.started, each.ended) for each in recording.trials.values()] == [
        ("COMPLETE", 1.0, NOW, NOW + 5),
        ("RUNNING", None, NOW + 1, None),
    ]


def test_only_decisions_made_at_a_report_give_its_time(leased: LeasedStore) -> None:
    leased.create()
    rows = [
        DecisionRow(0, action, "asha", step, 0.5, 0.5, 1, NOW + step)
        for step, action in enumerate(("prune", "audit", "shadow", "promote", "end"))
    ]
    leased.commit(a_trial(decisions=rows, closest={0: DecisionRow(0, "keep", "asha", 9, 0.5, 0.4, 3, NOW)}))  # type: ignore[arg-type]
    with open_study_reader(leased.url) as found:
        assert found.recording("study").moments == {(0, 0): NOW, (0, 1): NOW + 1, (0, 2): NOW + 2, (0, 9): NOW}


def test_a_trial_on_a_rung_is_told_where_it_stands(leased: LeasedStore) -> None:
    pruner = {"name": "asha", "mode": "promotion", "min_resource": 1, "reduction_factor": 3}
    leased.create(max_steps=9, direction="maximize", pruner=pruner, trials=20)
    for number, value in enumerate((0.75, 0.70, 0.60)):
        row = attempt(number, state="paused")
        leased.commit(Changes(new_trials={number: NOW}, values=[(number, 1, value)], attempts={row.token: row}))
    with open_study_reader(leased.url) as found:
        assert [explain(found.trial("study", str(number))) for number in range(2)] == [
            (
                "trial 0 is on the rung of epoch 1 with 0.75: "
                "within the best 1/3 of 3 trials, and no slot was free for it yet"
            ),
            "trial 1 is on the rung of epoch 1 with 0.7: of 3 trials there the best 1 goes on, which has 0.75",
        ]


# -- what is not there --------------------------------------------------------------------------------------------


NUMBERS = "study 'study' has 4 trials, 0 to 3; 'best' and 'last' name trials, too"


@pytest.mark.parametrize(
    ("study", "trial", "message"),
    [
        ("stduy", "0", "study 'stduy': there is none of that name in this database; did you mean 'study'?"),
        ("study", "nine", f"trial 'nine': is not a number; {NUMBERS}"),
        ("study", "٣", f"trial '٣': is not a number; {NUMBERS}"),
        ("study", "4", "trial 4: there is no such trial; study 'study' has 4 trials, 0 to 3"),
        ("study", "9" * 30, f"trial {'9' * 30}: there is no such trial; study 'study' has 4 trials, 0 to 3"),
    ],
)
def test_what_is_not_there_is_one_line(history: StudyReader, study: str, trial: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        history.trial(study, trial)
    assert str(caught.value) == message


def test_a_study_without_trials_and_a_database_without_studies(leased: LeasedStore) -> None:
    with open_study_reader(leased.url) as found, pytest.raises(BadInput, match="it holds no studies yet"):
        found.trial("study", "0")
    leased.create()
    with open_study_reader(leased.url) as found:
        with pytest.raises(BadInput, match="study 'study' has no trials yet"):
            found.trial("study", "0")
        assert found.recording("study").reports == []


def test_a_study_of_plain_optuna_can_be_replayed_and_says_what_is_known(leased: LeasedStore) -> None:
    with optuna_storage(leased.url) as storage:
        study = optuna.create_study(study_name="plain", storage=storage, direction="maximize")
        for value in (0.9, 0.8, 0.1):
            trial = study.ask()
            for step in range(3):
                trial.report(value, step)
            study.tell(trial, value)
    with open_study_reader(leased.url) as found:
        said = explain(found.trial("plain", "2"))
        recording = found.recording("plain")
    (_, median) = compare(recording, [Candidate("median", read_pruner("median n_startup_trials=2", "here"))])
    assert (median.pruned, median.saved, median.winner) == ({2: 0}, 2, 0)
    assert said.startswith("trial 2 completed with 0.1 after 3 epochs, the 3rd best of 3 completed trials; trial 0 is")


def test_several_objectives_are_refused(leased: LeasedStore) -> None:
    with optuna_storage(leased.url) as storage:
        optuna.create_study(study_name="two", storage=storage, directions=["minimize", "maximize"])
    with open_study_reader(leased.url) as found, pytest.raises(BadInput, match="study 'two': has 2 objectives"):
        found.recording("two")


def test_a_database_without_our_tables(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/plain.db"
    with optuna_storage(url, prepared=False) as storage:
        optuna.create_study(study_name="plain", storage=storage)
    with open_study_reader(url) as found:
        assert found.recording("plain").trials == {}
    with closing(sqlite3.connect(tmp_path / "plain.db")) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert not any(name.startswith("orchestrator_") for name in names)


def test_a_look_makes_nothing(tmp_path: Path) -> None:
    missing = tmp_path / "folder" / "studies.db"
    empty, text = tmp_path / "empty.db", tmp_path / "text.db"
    empty.touch()
    text.write_text("no database, but of some length, so that it has something like a header" * 9)
    before = text.read_bytes()
    for path, problem in (
        (missing, "there is no such database"),
        (tmp_path, "is a folder, not an SQLite database"),
        (empty, "holds no studies"),
        (text, "is not an SQLite database"),
    ):
        with pytest.raises(BadInput, match=problem) as caught, open_study_reader(f"sqlite:///{path}"):
            pass
        assert "\n" not in str(caught.value)
    assert not missing.parent.exists()
    assert (empty.stat().st_size, text.read_bytes()) == (0, before)
    assert sorted(os.listdir(tmp_path)) == ["empty.db", "text.db"]


def test_a_server_that_is_not_there() -> None:
    url = "postgresql://user:secret@127.0.0.1:1/none"
    with pytest.raises(BadInput, match="the database cannot be reached") as caught, open_study_reader(url):
        pass
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_look_changes_nothing(leased: LeasedStore) -> None:
    leased.create()
    leased.commit(everything())
    before = leased.rows()
    with open_study_reader(leased.url) as found:
        found.recording("study")
        found.trial("study", "1")
    assert leased.rows() == before


TEN_THOUSAND_TRIALS = """
WITH RECURSIVE counted(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counted WHERE n < 9999)
INSERT INTO trials (trial_id, number, study_id, state) SELECT n, n, study_id, 'COMPLETE' FROM counted, studies
"""
THEIR_STEPS = """
WITH RECURSIVE counted(step) AS (SELECT 0 UNION ALL SELECT step + 1 FROM counted WHERE step < 26)
INSERT INTO trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type)
SELECT trial_id, step, 0.5, 'FINITE' FROM trials, counted
"""


@contextmanager
def counted() -> Iterator[list[str]]:
    """Yields the statements that any database is given inside."""
    given: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        given.append(statement)

    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", note)
    try:
        yield given
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", note)


def test_ten_thousand_trials_are_read_with_the_statements_for_none(leased: LeasedStore) -> None:
    """Rows are written past the store, which would take its time."""
    leased.create(trials=10_000, max_steps=27)
    with counted() as of_none, open_study_reader(leased.url) as found:
        assert found.recording("study").reports == []
    with leased.database.write() as connection:
        for made in (TEN_THOUSAND_TRIALS, THEIR_STEPS):
            connection.exec_driver_sql(made)
    with counted() as of_all, open_study_reader(leased.url) as found:
        recording = found.recording("study")
    assert len(recording.reports) == 270_000
    assert of_all == of_none != []
