"""Studies that Optuna began, or ran alone: each command shows them or says what helps, and a look makes nothing."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from every_command import invoke, looking
from leased_store import NOW, LeasedStore, make_spec, optuna_storage
from optuna.trial import TrialState

from orchestrator.common.errors import BadInput
from orchestrator.storage.database import Database
from tests.prepared_databases import drop_database, make_database, url_of

SHOWS = {"ls", "status", "trials", "why", "replay", "tune-rule", "report", "export", "doctor", "schedule"}
SHOWS |= {"best", "models ls"}
"""Commands that do the same for a study that only Optuna has run; the others say what helps."""

WANTS = {
    "code": "keeps no code",
    "compare": "needs two studies",
    "delete": "there is no terminal",
    "models get": "has no stored model",
    "models rm": "has no stored model",
}
"""Commands that would do the same, and what they lack here."""

ODD: list[Any] = ["text", 5, [], {}, None, {"error": 3, "message": []}, {"rule": None}, {"reports": "x"}]
KEYS = ("failure", "pruned_by", "source", "retry_of", "audited", "shadow_pruned_by", "ordinary")


def fill(url: str) -> None:
    """Has Optuna run studies of every kind."""
    with optuna_storage(url, prepared=False) as storage, warnings.catch_warnings():
        warnings.simplefilter("ignore")

        def objective(trial: optuna.Trial) -> float:
            x = trial.suggest_float("x", 0, 1)
            trial.suggest_categorical("kind", ["a", None, True])
            for key in KEYS:
                trial.set_user_attr(key, ODD[(trial.number + len(key)) % len(ODD)])
            for step in range(3):
                trial.report(x + step, step)
            if trial.number == 1:
                raise optuna.TrialPruned
            if trial.number == 2:
                raise ValueError("no")
            trial.set_constraint("x", 0.9 - x if trial.number == 3 else -1.0)
            return x

        study = optuna.create_study(storage=storage, study_name="plain", sampler=optuna.samplers.RandomSampler(seed=1))
        study.set_user_attr("orchestrator_flagged", 3)
        study.optimize(objective, n_trials=len(ODD) + 2, catch=(ValueError,))
        study.enqueue_trial({"x": 0.5})
        study.ask()
        study.enqueue_trial({"x": 0.25})
        two = optuna.create_study(storage=storage, study_name="two", directions=["minimize", "maximize"])
        two.optimize(lambda trial: (trial.suggest_int("n", 0, 9), 1.0), n_trials=4)
        lists = optuna.create_study(storage=storage, study_name="lists")
        lists.optimize(lambda trial: len(trial.suggest_categorical("shape", [[1], (1, 2), {"a": 1}])), n_trials=4)
        optuna.create_study(storage=storage, study_name="empty", direction="maximize")
        optuna.create_study(storage=storage, study_name="ä / \x1b[1m " + "x" * 300)


@pytest.fixture(scope="module")
def optunas_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("optunas") / "optuna.db"
    fill(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="module")
def optunas_server() -> Iterator[str]:
    name = make_database()
    fill(url_of(name))
    yield url_of(name)
    drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def optunas(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a database in which only Optuna has worked, as that of the commands."""
    if request.param == "postgresql":
        url = str(request.getfixturevalue("optunas_server"))
    else:
        file: Path = request.getfixturevalue("optunas_file")
        url = f"sqlite:///{file}"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    for name, value in {"STORAGE_URL": url, "DATA_DIR": str(tmp_path / "data")}.items():
        monkeypatch.setenv(f"ORCHESTRATOR_{name}", value)
    monkeypatch.delenv("ORCHESTRATOR_REDIS_URL", raising=False)
    return url


def everything_in(url: str) -> list[str]:
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    metadata = sqlalchemy.MetaData()
    metadata.reflect(engine)
    with engine.connect() as connection:
        rows = [
            repr((name, *sorted(map(repr, connection.execute(sqlalchemy.select(table))))))
            for name, table in metadata.tables.items()
        ]
    engine.dispose()
    return rows


@pytest.mark.parametrize(("name", "arguments"), looking(), ids=lambda found: found if isinstance(found, str) else "")
def test_each_command_answers_and_makes_nothing(name: str, arguments: list[str], optunas: str) -> None:
    if name == "dashboard":
        pytest.skip("serves until it is ended; what it opens first is what every look opens")
    before = everything_in(optunas)
    result = invoke(*arguments)
    if name in SHOWS:
        assert result.exception is None or (name, result.exit_code) == ("doctor", 1), result.exception
        assert result.stdout.strip() or name == "schedule"
    elif name in WANTS:
        assert isinstance(result.exception, BadInput), result.output
        assert WANTS[name] in str(result.exception)
    else:
        assert isinstance(result.exception, BadInput), result.output
        (line,) = str(result.exception).splitlines()
        assert line.startswith("study 'plain': was made by Optuna and never run by this program; ")
        assert all(shows in line for shows in ("status", "trials", "report", "export", "replay", "why"))
    assert everything_in(optunas) == before
    if optunas.startswith("sqlite"):
        path = Path(optunas.removeprefix("sqlite:///"))
        assert path.read_bytes()[18:20] == b"\x01\x01", "its journal mode is as Optuna left it"
        assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_what_is_shown_is_what_optuna_says(optunas: str) -> None:
    with optuna_storage(optunas) as storage:
        plain = optuna.load_study(study_name="plain", storage=storage)
        trials, best = plain.trials, plain.best_trial.number
        front = len(optuna.load_study(study_name="two", storage=storage).best_trials)
    listed = {each["study"]: each for each in json.loads(invoke("ls", "--json").stdout)}
    assert [each["state"] for each in listed.values()] == ["optuna"] * 5
    found = json.loads(invoke("status", "plain", "--json").stdout)
    assert found | {"eta_s": None} == listed["plain"] | {"eta_s": None}
    states = [trial.state for trial in trials]
    assert (found["complete"], found["pruned"], found["failed"], found["running"], found["waiting"]) == tuple(
        map(
            states.count,
            (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING),
        )
    )
    assert (found["best"]["number"], found["epochs"], found["budget"]) == (best, 30, len(trials))
    moments = [moment for trial in trials for moment in (trial.datetime_start, trial.datetime_complete) if moment]
    assert found["created"] == min(moments).timestamp()
    assert found["changed"] == max(moments).timestamp()
    assert (listed["two"]["best"], listed["two"]["front"]) == (None, front)
    assert (listed["empty"]["created"], listed["empty"]["budget"]) == (None, 0)
    assert "Optuna's" in invoke("ls").stdout
    assert "made by Optuna, never run by this program" in invoke("status", "empty").stdout


@pytest.mark.parametrize("study", ["two", "lists", "empty"])
@pytest.mark.parametrize("command", ["status", "trials", "report", "export"])
def test_so_are_studies_of_every_kind(optunas: str, study: str, command: str) -> None:
    del optunas
    assert invoke(command, study).exception is None


def test_each_trial_can_be_asked_about(optunas: str) -> None:
    with optuna_storage(optunas) as storage:
        trials = optuna.load_study(study_name="plain", storage=storage).trials
    for trial in trials:
        assert invoke("why", "plain", str(trial.number)).exception is None
        assert json.loads(invoke("why", "plain", str(trial.number), "--json").stdout)["state"] == trial.state.name


def test_the_report_says_whose_study_it_is(optunas: str, tmp_path: Path) -> None:
    del optunas
    assert invoke("report", "plain", "-o", tmp_path / "page").exception is None
    page = next((tmp_path / "page").glob("*.html")).read_text()
    assert "made by Optuna, and this program has not run it" in page
    assert "Optuna has made the study, from no spec." in page


def test_beside_studies_of_ours_they_are_told_apart(optunas_file: Path, tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "both.db"
    path.write_bytes(optunas_file.read_bytes())
    url = f"sqlite:///{path}"
    database = Database(url)
    database.prepare()
    database.close()
    leased = LeasedStore(url)
    leased.store.create(make_spec(name="ours"), NOW)
    leased.close()
    monkeypatch.setenv("ORCHESTRATOR_STORAGE_URL", url)
    states = {each["study"]: each["state"] for each in json.loads(invoke("ls", "--json").stdout)}
    assert (states.pop("ours"), set(states.values())) == ("running", {"optuna"})


@pytest.mark.usefixtures("optunas")
def test_two_of_optunas_are_compared_in_the_words_of_every_view() -> None:
    text = invoke("compare", "plain", "empty").stdout
    assert "Optuna's" in next(line for line in text.splitlines() if line.startswith("state"))
