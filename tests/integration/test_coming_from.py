"""docs/coming-from.md: what stands there as the way of others runs on theirs, and as ours on ours.

Ray Tune, W&B and Determined are not among what is installed for tests; where they are, their code is run too:
``pip install "ray[tune]" wandb determined``. Our code is run by ``test_recipes.py``.
"""

from __future__ import annotations

import ast
import importlib.util
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import clean_shell
import optuna
import pytest
import yaml
from clean_shell import run_script
from fleet import Servers
from fleet_servers import real_servers

from tests.pages import ROOT, Block, all_blocks, blocks

pytestmark = pytest.mark.long

PAGE = ROOT / "docs" / "coming-from.md"
OF_OURS = {block.file: block.text for block in blocks(PAGE) if block.file}
TRAIN = """
import optuna


def objective(trial):
    lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    for step in range(1, 4):
        trial.report(step * lr, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return 3 * lr
"""


def block(word: str, language: str) -> Block:
    """Returns the block of a language that holds a word."""
    (found,) = [each for each in all_blocks("test_coming_from") if word in each.text and each.language == language]
    return found


def installed(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"{name} is not installed")


@pytest.fixture
def servers() -> Iterator[Servers]:
    yield from real_servers()


def test_before_and_after_are_the_same_search(servers: Servers, tmp_path: Path) -> None:
    environment = clean_shell.environment(tmp_path / "bin")
    (tmp_path / "train.py").write_text(TRAIN)
    before = block("study.optimize", "python")
    shown = "postgresql://user:password@host/optuna"
    assert shown in before.text
    done = run_script(before.text.replace(shown, servers.storage_url), tmp_path, environment, "python")
    assert done.returncode == 0, done.stderr
    there = servers.study("mine")

    (tmp_path / "mine.toml").write_text(block("train:objective", "toml").text)
    for text, interpreter in ((block("mine.toml", "sh").text, "sh"), (block("import Search", "python").text, "python")):
        done = run_script(text, tmp_path, environment, interpreter)
        assert done.returncode == 0, done.stderr
        with closing(Servers("", f"sqlite:///{tmp_path}/.orchestrator/studies.db")) as ours:
            here = ours.study("mine")
            for study in (there, here):
                assert len(study.trials) == 100
                assert study.trials[0].params == {"lr": 0.01}
                assert study.direction == optuna.study.StudyDirection.MAXIMIZE
            assert here.trials[1].distributions == there.trials[1].distributions
        shutil.rmtree(tmp_path / ".orchestrator")


def test_the_searches_are_over_the_same_space() -> None:
    ours = tomllib.loads(OF_OURS["curve.toml"])
    rate, epochs = ours["space"]["rate"], ours["args"]["epochs"]
    sweep = yaml.safe_load(block("run_cap", "yaml").text)
    assert sweep["parameters"] == {
        "rate": {"distribution": "log_uniform_values", "min": rate["low"], "max": rate["high"]},
        "epochs": {"value": epochs},
    }
    assert sweep["run_cap"] == ours["trials"]
    for name in ("swept.toml", "resumed.toml"):
        spec = tomllib.loads(OF_OURS[name])
        assert spec["space"] == {"rate": rate}
        assert {key: spec[key] for key in ("direction", "trials", "max_steps")} == {
            key: ours[key] for key in ("direction", "trials", "max_steps")
        }
        assert spec["pruner"] == ours["pruner"]
    experiment = yaml.safe_load(block("adaptive_asha", "yaml").text)
    searcher, logs = experiment["searcher"], experiment["hyperparameters"]["rate"]
    assert [logs["base"] ** logs[end] for end in ("minval", "maxval")] == pytest.approx([rate["low"], rate["high"]])
    assert experiment["hyperparameters"]["epochs"] == searcher["max_time"] == epochs
    assert (searcher["max_trials"], searcher["smaller_is_better"]) == (ours["trials"], False)
    assert searcher["divisor"] == ours["pruner"]["reduction_factor"]
    assert searcher["max_time"] / searcher["divisor"] ** (searcher["max_rungs"] - 1) == ours["pruner"]["min_resource"]
    retry = tomllib.loads(OF_OURS["resumed.toml"])["retry"]
    assert retry["max_attempts"] == retry["exception"] == experiment["max_restarts"] + 1
    keywords = _keywords(block("ray", "python").text)
    assert keywords["num_samples"] == ours["trials"]
    assert keywords["max_t"] == epochs
    assert keywords["grace_period"] == ours["pruner"]["min_resource"] == sweep["early_terminate"]["min_iter"]
    assert keywords["reduction_factor"] == ours["pruner"]["reduction_factor"] == sweep["early_terminate"]["eta"]


def _keywords(code: str) -> dict[str, Any]:
    """Returns the keyword arguments of all calls that are literals."""
    found = [each for each in ast.walk(ast.parse(code)) if isinstance(each, ast.keyword) and each.arg]
    return {str(each.arg): each.value.value for each in found if isinstance(each.value, ast.Constant)}


@installed("ray")
def test_ray_tunes_code_runs(tmp_path: Path) -> None:
    environment = clean_shell.environment(tmp_path / "bin") | {"HOME": str(tmp_path)}
    (tmp_path / "tuned.py").write_text(block("ray", "python").text)
    done = run_script("python tuned.py", tmp_path, environment)
    assert done.returncode == 0, done.stderr
    best = ast.literal_eval(done.stdout.splitlines()[-1])
    assert best.keys() == {"rate", "epochs"}


@installed("wandb")
def test_the_script_of_a_sweep_runs(tmp_path: Path) -> None:
    environment = clean_shell.environment(tmp_path / "bin") | {"WANDB_MODE": "offline", "HOME": str(tmp_path)}
    sweep = yaml.safe_load(block("run_cap", "yaml").text)
    chosen = {"rate": sweep["parameters"]["rate"]["max"], "epochs": sweep["parameters"]["epochs"]["value"]}
    defaults = {name: {"value": value} for name, value in chosen.items()}
    (tmp_path / "config-defaults.yaml").write_text(yaml.safe_dump(defaults))
    (tmp_path / sweep["program"]).write_text(block("wandb", "python").text)
    done = run_script(f"python {sweep['program']}", tmp_path, environment)
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stderr


@pytest.mark.parametrize("name", ["swept", "resumed"])
def test_a_script_that_was_moved_here_trains_the_same_curve(name: str, tmp_path: Path) -> None:
    for ending in (".py", ".toml"):
        (tmp_path / f"{name}{ending}").write_text(OF_OURS[name + ending])
    environment = clean_shell.environment(tmp_path / "bin")
    done = run_script(f"orchestrator run {name}.toml --slots 1", tmp_path, environment)
    assert done.returncode == 0, done.stderr
    with closing(Servers("", f"sqlite:///{tmp_path}/.orchestrator/studies.db")) as ours:
        study = ours.study(name)
        assert len(study.trials) == 12
        for trial in study.trials:
            sums = {step: sum(trial.params["rate"] / each for each in range(1, step + 1)) for step in range(1, 10)}
            assert dict(trial.intermediate_values) == {
                step: pytest.approx(sums[step]) for step in trial.intermediate_values
            }
        assert study.best_trial.value == pytest.approx(study.best_trial.intermediate_values[9])


@installed("determined")
def test_determineds_script_runs(tmp_path: Path) -> None:
    """Off a cluster: the parameters, which a cluster would give it, stand in front."""
    given = """
from types import SimpleNamespace
import determined
trial = SimpleNamespace(hparams={"rate": 0.01, "epochs": 9})
infos = iter([SimpleNamespace(trial=trial, latest_checkpoint=None)])
determined.get_cluster_info = lambda: next(infos, None)
"""
    environment = clean_shell.environment(tmp_path / "bin") | {"HOME": str(tmp_path)}
    (tmp_path / "train.py").write_text(given + block("determined", "python").text)
    done = run_script("python train.py", tmp_path, environment)
    assert done.returncode == 0, done.stderr
