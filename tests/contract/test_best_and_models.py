"""`best`, `models`, `compare`, and the words best and last in the place of a trial's number."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import optuna
import pytest
from click.testing import CliRunner
from every_command import invoke
from leased_store import KIND, NOW, LeasedStore, X, attempt, make_spec, optuna_storage

from orchestrator.cli import cli
from orchestrator.common.errors import BadInput
from orchestrator.model.changeset import Changes, TrialEnd


def values(leased: LeasedStore, name: str, found: dict[int, float | None], **spec: Any) -> None:
    """Makes a study whose trials have reported three values each, and ended with these; ``None`` runs."""
    leased.store.create(make_spec(name=name, max_steps=27, trials=9, **spec), NOW)
    rows = [
        attempt(
            number,
            token=f"{name}-{number}",
            state="done" if end is not None else "running",
            started=NOW + number,
            ended=None if end is None else NOW + number + 1,
            runner="r",
            slot="w@h/0",
            host="h",
        )
        for number, end in found.items()
    ]
    leased.commit(
        Changes(
            new_trials=dict.fromkeys(found, NOW),
            ends={n: TrialEnd("COMPLETE", (end,), NOW + n + 1) for n, end in found.items() if end is not None},
            params=[(number, "x", 0.5 + number / 10, X) for number in found] + [(1, "kind", 1, KIND)],
            values=[(number, step, 0.1 * step + number) for number in found for step in (1, 2, 3)],
            attempts={row.token: row for row in rows},
        ),
        name,
    )


def model(leased: LeasedStore, study: str, trial: int, id: str, filename: str) -> None:
    record = json.dumps({"artifact_id": id, "filename": filename, "mimetype": "", "encoding": None})
    kept = {"kind": "model", "size": 7, "at": NOW}
    leased.commit(
        Changes(records={(trial, f"artifacts:{id}"): record, (trial, f"orchestrator:artifact:{id}"): kept}), study
    )


@pytest.fixture
def studies(leased: LeasedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LeasedStore:
    monkeypatch.setenv("ORCHESTRATOR_STORAGE_URL", leased.url)
    monkeypatch.setenv("ORCHESTRATOR_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    values(leased, "study", {0: 0.25, 1: 0.125, 2: 0.5}, pruner={"name": "median"})
    values(leased, "maximal", {0: 0.25, 1: 0.125, 2: 0.5, 3: None}, direction="maximize", pruner={"name": "none"})
    return leased


@pytest.mark.usefixtures("studies")
@pytest.mark.parametrize(("study", "best", "last"), [("study", 1, 2), ("maximal", 2, 3)])
def test_words_in_the_place_of_a_number(study: str, best: int, last: int) -> None:
    for word, number in (("best", best), ("last", last)):
        assert json.loads(invoke("why", study, word, "--json").stdout)["trial"] == number
    assert json.loads(invoke("best", study, "--json").stdout)["number"] == best
    wrong = str(invoke("why", study, "bset").exception)
    assert wrong.startswith("trial 'bset': is not a number; ")
    assert wrong.endswith("'best' and 'last' name trials, too")


@pytest.mark.usefixtures("studies")
def test_the_parameters_are_those_of_the_trial_alone() -> None:
    assert tomllib.loads(invoke("best", "study", "--params", "toml").stdout) == {"x": 0.6, "kind": "b"}
    assert tomllib.loads(invoke("best", "maximal", "--params", "toml").stdout) == {"x": 0.7}
    assert json.loads(invoke("best", "study", "--params", "json").stdout) == {"x": 0.6, "kind": "b"}
    assert invoke("best", "study", "--params", "args").stdout == "--x=0.6 --kind=b\n"
    assert isinstance(invoke("best", "study", "--params", "json", "--json").exception, BadInput)


def test_while_none_has_completed_one_leads(studies: LeasedStore) -> None:
    values(studies, "early", {0: None, 1: None}, direction="maximize")
    found = json.loads(invoke("best", "early", "--json").stdout)
    assert (found["number"], found["values"], found["complete"], found["step"]) == (1, [1.3], False, 3)
    assert "trial 1 leads with 1.3 at step 3; no trial has completed yet" in invoke("best", "early").stdout
    why = invoke("why", "early", "best").stdout
    assert why.startswith("trial 1 ")
    assert "  leading: no trial has completed yet" in why
    assert json.loads(invoke("why", "early", "best", "--json").stdout)["leading"] is True
    assert "leading" not in invoke("why", "early", "1").stdout
    studies.store.create(make_spec(name="empty"), NOW)
    assert "no trial has completed yet, nor reported a value" in str(invoke("best", "empty").exception)
    assert "has no trials yet" in str(invoke("why", "empty", "best").exception)


def test_of_several_objectives_it_is_the_front(studies: LeasedStore) -> None:
    studies.store.create(make_spec(name="two", directions=["minimize", "maximize"]), NOW)
    ends = {0: (1.0, 1.0), 1: (2.0, 2.0), 2: (3.0, 0.0)}
    studies.commit(
        Changes(
            new_trials=dict.fromkeys(ends, NOW),
            ends={number: TrialEnd("COMPLETE", found, NOW) for number, found in ends.items()},
        ),
        "two",
    )
    assert [each["number"] for each in json.loads(invoke("best", "two", "--json").stdout)] == [0, 1]
    assert "2 trials on the Pareto front, of minimize, maximize" in invoke("best", "two").stdout
    assert "2 trials are on the Pareto front: 0, 1" in str(invoke("best", "two", "--params", "json").exception)
    assert "several best trials; name 0, 1" in str(invoke("why", "two", "best").exception)


def test_models_are_listed_fetched_and_deleted(studies: LeasedStore, tmp_path: Path) -> None:
    for trial, id, filename in ((1, "study-1-a", "model.pt"), (1, "study-1-b", "../b.pt"), (2, "study-2-a", "gone.pt")):
        model(studies, "study", trial, id, filename)
    (tmp_path / "artifacts").mkdir()
    for id in ("study-1-a", "study-1-b"):
        (tmp_path / "artifacts" / id).write_text(id)
    listed = json.loads(invoke("models", "ls", "--json").stdout)
    assert [(each["trial"], each["filename"], each["reached"]) for each in listed] == [
        (1, "../b.pt", True),
        (1, "model.pt", True),
        (2, "gone.pt", False),
    ]
    assert "1 of 3 are not reached from this host" in invoke("models", "ls", "study").stdout
    assert invoke("models", "ls", "maximal").stdout == "no models\n"
    assert json.loads(invoke("best", "study", "--json").stdout)["models"][-1]["artifact_id"] == "study-1-a"

    assert invoke("models", "get", "study", "best").stdout == "model.pt\n"
    assert Path("model.pt").read_text() == "study-1-a"
    assert "is there already, and stays as it is" in str(invoke("models", "get", "study", "1").exception)
    assert invoke("models", "get", "study", "1", "--name", "../b.pt").stdout == "b.pt\n", "never outside of the folder"
    assert "there is no such file" in str(invoke("models", "get", "study", "2").exception)
    assert "trials with one: 1, 2" in str(invoke("models", "get", "study", "0").exception)
    assert "did you mean 'model.pt'" in str(invoke("models", "get", "study", "1", "--name", "modle.pt").exception)

    assert "there is no terminal" in str(invoke("models", "rm", "study", "1").exception)
    assert invoke("models", "rm", "study", "1", "--name", "model.pt", "--yes").exit_code == 0
    assert invoke("models", "rm", "study", "2", "--yes").stdout == "deleted 1 model of trial 2: gone.pt\n"
    assert [each["filename"] for each in json.loads(invoke("models", "ls", "--json").stdout)] == ["../b.pt"]
    assert not (tmp_path / "artifacts" / "study-1-a").exists()


def test_a_host_without_the_store_deletes_no_record(studies: LeasedStore, tmp_path: Path) -> None:
    model(studies, "study", 1, "study-1-a", "model.pt")
    assert "this host does not reach" in str(invoke("models", "rm", "study", "1", "--yes").exception)
    assert [each["filename"] for each in json.loads(invoke("models", "ls", "--json").stdout)] == ["model.pt"]
    # A folder of another search, where it was called by mistake.
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "another").write_text("")
    error = str(invoke("models", "rm", "study", "1", "--yes").exception)
    assert f"this host does not reach {tmp_path}/artifacts/study-1-a: there is no such file" in error
    assert [each["filename"] for each in json.loads(invoke("models", "ls", "--json").stdout)] == ["model.pt"]


def test_a_record_that_leads_out_of_the_store_is_refused(studies: LeasedStore) -> None:
    model(studies, "study", 1, "../../secret", "model.pt")
    assert "names no file of the store" in str(invoke("models", "get", "study", "1").exception)
    assert "names no file of the store" in str(invoke("models", "rm", "study", "1", "--yes").exception)


def test_studies_are_compared(studies: LeasedStore) -> None:
    found = json.loads(invoke("compare", "study", "maximal", "study", "--json").stdout)
    one, other = found["studies"]
    assert (one["study"], one["complete"], one["epochs"], one["best"][0]["number"]) == ("study", 3, 9, 1)
    assert one["curve"] == [{"epochs": 3, "best": 0.25}, {"epochs": 6, "best": 0.125}]
    assert one["cost"] == {"slot_seconds": 3.0, "wall_seconds": 3.0, "attempts": 3, "lost": 0, "redone": 0}
    assert other["cost"]["attempts"] == 4
    assert found["differences"]["direction"] == ["minimize", "maximize"]
    assert found["differences"]["pruner.name"] == ["median", "none"]
    assert not found["comparable"]
    text = invoke("compare", "study", "maximal").stdout
    assert "their best values cannot be compared: study minimize; maximal maximize" in text
    values(studies, "again", {0: 0.5, 1: 0.375}, pruner={"name": "none"})
    text = invoke("compare", "study", "again").stdout
    assert "6 epochs" in text
    assert "pruner.name" in text
    assert "needs two studies" in str(invoke("compare", "study", "study").exception)


def test_of_studies_without_a_spec_it_is_said_what_cannot_be_compared(studies: LeasedStore) -> None:
    for name in ("plain", "other"):
        with optuna_storage(studies.url) as storage:
            study = optuna.create_study(study_name=name, storage=storage)
            study.add_trial(optuna.trial.create_trial(value=0.5))
    text = invoke("compare", "plain", "other").stdout
    assert "plain, other: made by Optuna, without a spec here; sampler, rule" in " ".join(text.split())
    assert "alike" not in text
    text = invoke("compare", "plain", "study").stdout
    assert "plain: made by Optuna, without a spec here" in text
    assert "pruner.name" not in text, "a spec differs from none"
    found = json.loads(invoke("compare", "plain", "study", "--json").stdout)
    assert [each["has_spec"] for each in found["studies"]] == [False, True]


@pytest.mark.usefixtures("studies")
@pytest.mark.parametrize("name", ["STUDY", "stdy", "max"])
def test_a_name_that_is_nearly_right_gets_a_suggestion(name: str) -> None:
    wanted = "maximal" if name == "max" else "study"
    for words in (["status", name], ["best", name], ["delete", name, "--yes"], ["why", name, "0"], ["compare", name]):
        assert f"did you mean '{wanted}'?" in str(invoke(*words).exception)


@pytest.mark.parametrize("width", [80, 200])
def test_no_line_is_wider_than_the_terminal(studies: LeasedStore, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model(studies, "study", 1, "study-1-" + "a" * 90, "model.pt")
    monkeypatch.setattr("orchestrator.cli.shared.terminal_width", lambda: width)
    monkeypatch.setattr("orchestrator.cli.studies.terminal_width", lambda: width)
    for words in (["best", "study"], ["models", "ls"], ["compare", "study", "maximal"]):
        text = CliRunner().invoke(cli, words).stdout
        assert max(map(len, text.splitlines())) <= width, text
