"""A study's trials row by row are what Optuna reads of them, on both kinds of database; so is what is exported."""

from __future__ import annotations

import csv
import io
import json
import math
from datetime import UTC, datetime
from typing import Any

import optuna
import pytest
from leased_store import NOW, LeasedStore, a_trial, everything, make_spec, optuna_storage
from optuna.trial import FrozenTrial
from pyarrow import parquet

from orchestrator.cli.options import study_names
from orchestrator.common.errors import BadInput
from orchestrator.export import FORMATS, writers
from orchestrator.export.rows import epoch_rows, trial_rows
from orchestrator.model.changeset import Changes, TrialEnd
from orchestrator.model.records import ListedTrial
from orchestrator.queries import trial_queries
from orchestrator.queries.readonly import open_study_reader


@pytest.fixture
def full(leased: LeasedStore) -> LeasedStore:
    """A study with something of every kind in it."""
    leased.create(max_steps=27, pruner={"name": "median"}, direction="maximize")
    leased.commit(everything())
    changes = a_trial(4)
    changes.ends[4] = TrialEnd("COMPLETE", (math.inf,), NOW + 9)
    changes.system_attrs[4, "constraints:memory"] = 0.5
    changes.user_attrs[4, "retry_of"] = 3
    leased.commit(changes)
    return leased


def read(leased: LeasedStore, name: str = "study") -> list[ListedTrial]:
    with open_study_reader(leased.url) as history:
        found = history.trials(name)
        return list(found.trials(found.heads()))


def exported(leased: LeasedStore, form: str, name: str = "study", *, epochs: bool = False) -> Any:
    file = io.BytesIO()
    with open_study_reader(leased.url) as history:
        found = history.trials(name)
        writers.write(epoch_rows(found) if epochs else trial_rows(found), form, file)
    file.seek(0)
    if form == "parquet":
        return parquet.read_table(file).to_pylist()
    if form == "json":
        return json.loads(file.read())
    return list(csv.DictReader(io.StringIO(file.read().decode(), newline="")))


def moment(at: datetime | None) -> datetime | None:
    """Optuna gives times as naive local ones."""
    return None if at is None else at.astimezone(UTC)


def same(one: ListedTrial, other: FrozenTrial) -> None:
    assert (one.head.number, one.head.state) == (other.number, other.state.name)
    assert one.head.values == tuple(other.values or ())
    assert (one.head.started, one.head.ended) == (moment(other.datetime_start), moment(other.datetime_complete))
    assert (one.params, one.user_attrs) == (other.params, other.user_attrs)
    assert list(one.params) == list(other.params)
    steps = other.intermediate_values
    assert (one.head.epochs, one.last_step) == (len(steps), max(steps, default=None))
    if one.last_step is not None:
        assert repr(one.last_value) == repr(steps[one.last_step])


@pytest.mark.parametrize("chunk", [1, 2, 500])
def test_it_is_what_optuna_reads(full: LeasedStore, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_queries, "CHUNK", chunk)
    found, expected = read(full), full.optuna_trials()
    assert len(found) == len(expected) == 5
    for one, other in zip(found, expected, strict=True):
        same(one, other)


def test_what_is_ours(full: LeasedStore) -> None:
    found = read(full)
    assert [each.head.live for each in found] == ["", "stopping", "queued", "", "queued"]
    assert [each.head.attempts for each in found] == [1, 1, 2, 1, 1]
    assert [each.redone for each in found] == [0, 0, 2, 0, 0]
    assert [each.head.feasible for each in found] == [True, True, True, True, False]
    last = found[0].last
    assert last is not None
    assert (last.host, last.slot, last.device, last.number) == ("höst", "slot 1", "gpu 0", 1)
    with open_study_reader(full.url) as history:
        assert history.trials("study").best() == [0], "the fourth is better, and violates a constraint"
        assert (history.trial("study", "3").retries, history.trial("study", "4").retry_of) == ([4], 3)


def test_some_of_them_in_any_order(full: LeasedStore) -> None:
    with open_study_reader(full.url) as history:
        found = history.trials("study")
        heads = found.heads()
        assert [each.head.number for each in found.trials([heads[3], heads[0]])] == [3, 0]
        assert list(found.trials([])) == []


def test_several_objectives(leased: LeasedStore) -> None:
    leased.store.create(make_spec(directions=["maximize", "minimize"], name="two"), NOW)
    values = [(1.0, 5.0), (2.0, 5.0), (0.5, 1.0), (2.0, 6.0), (9.0, 0.0)]
    changes = Changes()
    for number, both in enumerate(values):
        changes.new_trials[number] = NOW
        changes.ends[number] = TrialEnd("COMPLETE", both, NOW + 1)
    changes.system_attrs[4, "constraints:memory"] = 1.0
    for number in range(4):
        changes.system_attrs[number, "constraints:memory"] = 0.0
    leased.commit(changes, "two")
    with optuna_storage(leased.url) as storage:
        front = {each.number for each in optuna.load_study(study_name="two", storage=storage).best_trials}
    with open_study_reader(leased.url) as history:
        assert history.trials("two").best() == [1, 2]
        assert history.overview("two").progress.front == len(front) == 2
    assert [(row["values_0"], row["values_1"]) for row in exported(leased, "json", "two")] == values


def test_a_study_that_optuna_made(leased: LeasedStore) -> None:
    with optuna_storage(leased.url) as storage:
        study = optuna.create_study(storage=storage, study_name="theirs")
        for number in range(3):
            trial = study.ask()
            trial.suggest_int("n", 1, 9)
            trial.report(0.5, 0)
            study.tell(trial, float(number))
        study.ask()
        expected = study.trials
    found = read(leased, "theirs")
    for one, other in zip(found, expected, strict=True):
        same(one, other)
    assert [(each.head.attempts, each.last) for each in found] == [(0, None)] * 4
    assert [row["params_n"] for row in exported(leased, "json", "theirs")[:3]] == [
        each.params["n"] for each in expected[:3]
    ]


def test_a_study_without_trials(leased: LeasedStore) -> None:
    leased.create()
    assert read(leased) == []
    for form in FORMATS:
        assert exported(leased, form) == []
    with pytest.raises(BadInput, match="there is none of that name"), open_study_reader(leased.url) as history:
        history.trials("studdy")


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_exported_is_what_optuna_reads(full: LeasedStore, form: str) -> None:
    def number(text: Any) -> float | None:
        return None if text in ("", None) else float(text)

    rows = exported(full, form)
    for row, trial in zip(rows, full.optuna_trials(), strict=True):
        assert (int(row["number"]), row["state"]) == (trial.number, trial.state.name)
        assert repr(number(row.get("value"))) == repr(trial.values[0] if trial.values else None)
        assert repr(number(row.get("params_x"))) == repr(trial.params.get("x"))
        for key, at in (("datetime_start", trial.datetime_start), ("datetime_complete", trial.datetime_complete)):
            told = row.get(key) or None
            assert (datetime.fromisoformat(told) if isinstance(told, str) else told) == moment(at)
        assert int(row["epochs"]) == len(trial.intermediate_values)
    assert [int(row["attempts"]) for row in rows] == [1, 1, 2, 1, 1]
    assert [row.get("host") or None for row in rows] == ["höst", None, None, None, None]
    if form == "csv":
        assert rows[0]["params_kind"] == "null"
        assert rows[1]["params_kind"] == ""
        assert rows[0]["user_attrs_note"] == '{"ä": [1, null, "😀"]}'
    if form == "json":
        assert rows[0]["params_kind"] is None
        assert "params_kind" not in rows[1]
        assert rows[0]["user_attrs_note"] == {"ä": [1, None, "😀"]}


@pytest.mark.parametrize("form", FORMATS)
def test_epochs_are_exported_as_optuna_reads_them(full: LeasedStore, form: str) -> None:
    rows = exported(full, form, epochs=True)
    expected = [
        (trial.number, step, repr(value))
        for trial in full.optuna_trials()
        for step, value in sorted(trial.intermediate_values.items())
    ]
    assert [(int(row["number"]), int(row["step"]), repr(float(row["value"]))) for row in rows] == expected


def test_the_names_that_a_shell_completes(full: LeasedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with optuna_storage(full.url) as storage:
        optuna.create_study(storage=storage, study_name="theirs")
        expected = optuna.get_all_study_names(storage)
    monkeypatch.setenv("ORCHESTRATOR_STORAGE_URL", full.url)
    assert sorted(study_names()) == sorted(expected) == ["study", "theirs"]
    assert study_names()[0] == "theirs", "the newest comes first"
