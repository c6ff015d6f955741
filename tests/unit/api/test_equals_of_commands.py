"""Functions that do what a command does: init, validate, prepare, schedule."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import optuna
import pytest
from click.testing import CliRunner

from orchestrator import BadInput, Search, connect
from orchestrator.cli import cli

SCHEDULED = """
name = "nightly"
objective = "tasks.objectives.digits:objective"
trials = 3
[schedule]
cron = "0 3 * * *"
"""
IMPORTED = """
import os
MARK = os.environ["ORCHESTRATOR_TEST_MARK"]
FILE = __file__
def objective(trial): return 1.0
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_first_search_is_written_and_can_be_validated(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Search.init("mine") == (Path("mine/search.toml"), Path("mine/train.py"))
    with pytest.raises(BadInput, match="is there already, and stays as it is"):
        Search.init("mine")
    monkeypatch.chdir(here / "mine")
    search = Search.from_file("search.toml")
    answer = search.validate(imports=False)
    assert str(answer).startswith(
        "search.toml: mine: 30 trials of train:objective\nsampler tpe, pruner median, maximize"
    )
    assert answer.data["name"] == "mine"
    assert not (here / "mine" / ".orchestrator").exists(), "it makes nothing"


def test_code_that_goes_with_a_search_is_imported_from_where_a_worker_has_it(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "brought.py").write_text(IMPORTED)
    monkeypatch.syspath_prepend(here)
    monkeypatch.setenv("ORCHESTRATOR_TEST_MARK", "here")
    import brought  # type: ignore[import-not-found]

    search = Search(brought.objective, name="one", trials=1)
    (here / "brought.py").write_text("1 / 0")
    assert "1 trials of brought:objective" in str(search.validate())
    monkeypatch.delenv("ORCHESTRATOR_TEST_MARK")
    with pytest.raises(BadInput, match=r"objective 'brought:objective': importing 'brought' raises KeyError"):
        search.validate()
    del sys.modules["brought"]


def test_a_database_is_prepared_and_lists_schedules(here: Path) -> None:
    (here / "studies").mkdir()
    (here / "studies" / "nightly.toml").write_text(SCHEDULED)
    with connect(storage_url="sqlite:///new.db") as fleet:
        assert fleet.prepare() == "sqlite:///new.db"
        answer = fleet.schedules()
        assert [each["name"] for each in answer.data["schedules"]] == ["nightly"]
        assert "no beat has looked at this timetable yet" in str(answer)
        with pytest.raises(BadInput, match="schedule 'weekly': there is none of that name in studies; known: nightly"):
            fleet.run_schedule("weekly")
        with pytest.raises(BadInput, match="ORCHESTRATOR_REDIS_URL: is not set; a fleet needs both URLs"):
            fleet.run_schedule("nightly")


def test_nothing_is_prepared_where_nothing_is() -> None:
    with connect(data_dir="data") as fleet, pytest.raises(BadInput, match="name the database, as its owner reaches it"):
        fleet.prepare()


def test_rules_are_tried_on_several_studies_as_the_commands_try_them(here: Path) -> None:
    url = f"sqlite:///{here / 'recorded.db'}"
    storage = optuna.storages.RDBStorage(url)
    for name in ("one", "two"):
        study = optuna.create_study(study_name=name, storage=storage)
        for number in range(9):
            curve = {step: number + 1 / step for step in range(1, 10)}
            study.add_trial(optuna.trial.create_trial(value=curve[9], intermediate_values=curve))
    storage.remove_session()
    storage.engine.dispose()

    def said(*arguments: str) -> str:
        done = CliRunner().invoke(cli, arguments, env={"ORCHESTRATOR_STORAGE_URL": url, "COLUMNS": "100"})
        assert done.exit_code == 0, done.output
        return str(done.stdout).rstrip()

    with connect(storage_url=url) as fleet:
        for names in (["one"], ["one", "two"]):
            replayed, tuned = fleet.replay(names, "asha", "median"), fleet.tune_rule(*names)
            assert said("replay", *names, "--pruner", "asha", "--pruner", "median") == str(replayed)
            assert (
                json.loads(said("replay", *names, "--pruner", "asha", "--pruner", "median", "--json")) == replayed.data
            )
            # A command that writes to a pipe wraps no line.
            assert said("tune-rule", *names).split() == str(tuned).split()
            assert json.loads(said("tune-rule", *names, "--json")) == tuned.data
        assert fleet["one"].replay("asha").data == fleet.replay("one", "asha").data
        with pytest.raises(BadInput, match="studies: none is named; name one or more"):
            fleet.tune_rule()
