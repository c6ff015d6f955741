"""The first spec and objective that `init` writes; it never overwrites a file."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from orchestrator.common.errors import BadInput
from orchestrator.spec import load, starter
from orchestrator.spec.objective_check import check_objective


def test_the_spec_is_one_and_names_the_objective(tmp_path: Path) -> None:
    spec, objective = starter.write(tmp_path / "a" / "mine")
    assert (spec.name, objective.name) == ("search.toml", "train.py")
    found = load(spec)
    assert (found.name, found.objective, found.direction) == ("mine", "train:objective", "maximize")
    check_objective(found.objective, [spec.parent])
    first = spec.read_text().splitlines()[3:6]
    assert {line.index("#") for line in first} == {34}, "the comments stand below each other"


@pytest.mark.parametrize("folder", ["ünlucky", "two words", ".hidden"])
def test_a_folder_whose_name_no_study_can_have(tmp_path: Path, folder: str) -> None:
    assert load(starter.write(tmp_path / folder)[0]).name == "starter"


@pytest.mark.parametrize("there", ["search.toml", "train.py"])
def test_what_is_there_stays(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine")
    with pytest.raises(BadInput, match=f"{there}: is there already, and stays as it is"):
        starter.write(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


def test_a_link_that_leads_nowhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "train.py").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match="is there already"):
        starter.write(tmp_path)


def test_where_no_folder_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput):
        starter.write(tmp_path / "file" / "mine")


def test_the_objective_is_an_ordinary_one() -> None:
    """As `study.optimize` runs it, pruning and all."""
    from orchestrator.spec.starter.train import objective

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.ThresholdPruner(lower=0.9, n_warmup_steps=2)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(0), pruner=pruner)
    study.optimize(lambda trial: objective(trial, epochs=4), n_trials=5)
    states = {trial.state.name for trial in study.trials}
    assert states == {"COMPLETE", "PRUNED"}
    assert study.best_value > 0.8
