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


def test_a_spec_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "search.toml").write_text("mine")
    with pytest.raises(BadInput, match=r"search\.toml: is there already, and stays as it is"):
        starter.write(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["search.toml"]
    assert (tmp_path / "search.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("there", "module"),
    [
        (("model.py", "data/"), "train"),
        (("train.py",), "search_train"),
        (("train/",), "search_train"),
        (("train.py", "search_train.py"), "search_train_2"),
    ],
)
def test_in_a_folder_that_holds_code_it_takes_a_name_that_is_free(
    tmp_path: Path, there: tuple[str, ...], module: str
) -> None:
    for name in there:
        (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).write_text("mine")
    spec, objective = starter.write(tmp_path)
    assert load(spec).objective == f"{module}:objective"
    assert objective == tmp_path / f"{module}.py"
    check_objective(load(spec).objective, [tmp_path])
    assert all((tmp_path / name).read_text() == "mine" for name in there if not name.endswith("/"))


def test_a_package_that_is_installed_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "site-packages"
    installed.mkdir()
    (installed / "train.py").write_text("")
    monkeypatch.syspath_prepend(installed)
    assert load(starter.write(tmp_path / "here")[0]).objective == "search_train:objective"


def test_a_study_that_is_there_keeps_its_name(tmp_path: Path) -> None:
    here = tmp_path / "mine"
    (here / ".orchestrator").mkdir(parents=True)
    storage = optuna.storages.RDBStorage(f"sqlite:///{here / '.orchestrator' / 'studies.db'}")
    for name in ("mine", "mine-2"):
        optuna.create_study(study_name=name, storage=storage)
    storage.remove_session()
    storage.engine.dispose()
    assert load(starter.write(here)[0]).name == "mine-3"


def test_a_link_that_leads_nowhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "train.py").symlink_to(tmp_path / "elsewhere")
    assert starter.write(tmp_path)[1].name == "search_train.py"
    assert not (tmp_path / "elsewhere").exists()


def test_where_no_folder_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "mine", tmp_path / ("x" * 300)):
        with pytest.raises(BadInput, match="takes no files"):
            starter.write(folder)


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
