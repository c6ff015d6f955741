"""A script that is started as an objective finds itself in a program of its own, as far as it can see."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trainer_harness import TrainerHarness, running_trainer

from tasks.contract import Attribute, Failed, Finished
from tasks.trainer_messages import Ready

SOURCE = """
import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import __main__

import lone

TOP = argparse.ArgumentParser()
TOP.add_argument("--epochs", type=int, default=3)
TOP = TOP.parse_args()

def options(trial):
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1)
    found = parser.parse_args()
    trial.set_user_attr("argv", sys.argv)
    trial.set_user_attr("prog", parser.prog)
    trial.set_user_attr("stdin", sys.stdin.read())
    sys.argv.append("--left-over")
    return found.lr * TOP.epochs

def double(x):
    return 2 * x, os.path.basename(sys.argv[0]), len(sys.argv)

def spawns(trial):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.map(double, [1, 2])
    assert found == [(2, "train.py", 1), (4, "train.py", 1)], found
    return 0.5

def starts_functions(trial):
    from joblib import Parallel, delayed
    assert Parallel(n_jobs=2)(delayed(double)(x) for x in (1, 2)) == [(2, "train.py", 1), (4, "train.py", 1)]
    return 0.5

def starts_its_file(trial, ranked):
    environment = os.environ | {"LOCAL_RANK": "1"} if ranked else None
    done = subprocess.run([sys.executable, *sys.argv], env=environment, capture_output=True, text=True, check=True)
    trial.set_user_attr("said", done.stdout)
    return 0.5

def starts_what_it_is(trial):
    os.environ["LOCAL_RANK"] = "0"
    again = [sys.executable, "-m", __main__.__spec__.name]
    subprocess.Popen(again + sys.argv[1:], env=os.environ | {"LOCAL_RANK": "1"})

def replaces_itself(trial):
    os.execv(sys.executable, [sys.executable, *sys.argv])

def starts_others(trial):
    os.environ.get("LOCAL_RANK") is None or 1 / 0
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    subprocess.run("true", shell=True, check=True)
    subprocess.run([sys.executable, "-m", "json.tool", "--help"], check=True)
    if (pid := os.fork()) == 0:
        os.execv("/bin/true", ["true"])
    assert os.waitpid(pid, 0)[1] == 0
    return 0.5

def lightning(trial):
    import lightning.pytorch as pl
    import torch
    class Net(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)
        def training_step(self, batch, index):
            return self.layer(batch).sum()
        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)
    trainer = pl.Trainer(accelerator="cpu", devices=2, strategy="ddp", max_epochs=1, logger=False,
                         enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.fit(Net(), torch.utils.data.DataLoader(torch.ones(4, 1)))
    return 0.5

if __name__ == "__main__":
    print("as a script")
"""


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainerHarness]:
    folder = tmp_path_factory.mktemp("surroundings")
    (folder / "lone.py").write_text("import sys\nassert len(sys.argv) == 1, sys.argv\n")
    with running_trainer(folder, SOURCE, preload="train:options") as it:
        yield it


def works(process: TrainerHarness, objective: str, **args: Any) -> None:
    assert process.train(objective, **args) == Ready()
    assert isinstance(process.outcome, Finished), process.outcome


def refusal(process: TrainerHarness, objective: str, **args: Any) -> str:
    assert process.train(objective, **args) == Ready(), "the process is as good as before"
    outcome = process.outcome
    assert isinstance(outcome, Failed)
    assert (outcome.cause, outcome.error) == ("exception", "StartedAgain")
    assert "\n" not in outcome.message
    return outcome.message


def test_its_command_line_is_its_file_without_arguments(process: TrainerHarness) -> None:
    for _ in range(2):
        works(process, "options")
        said = {each.key: each.value for each in process.of(Attribute)}
        assert said == {"argv": f'["{process.folder / "train.py"}"]', "prog": '"train.py"', "stdin": '""'}


@pytest.mark.parametrize("objective", ["spawns", "starts_functions", "starts_others"])
def test_what_starts_functions_or_other_programs_works(process: TrainerHarness, objective: str) -> None:
    works(process, objective)


def test_its_file_is_a_script_as_ever(process: TrainerHarness) -> None:
    works(process, "starts_its_file", ranked=False)
    assert [each.value for each in process.of(Attribute)] == ['"as a script\\n"']


def test_a_launcher_that_starts_the_program_for_each_rank_is_named(process: TrainerHarness) -> None:
    for objective, args in (("starts_what_it_is", {}), ("starts_its_file", {"ranked": True})):
        text = refusal(process, objective, **args)
        assert text.startswith("the objective starts this program again, as a strategy does")
        assert "use one device, or a strategy that starts functions" in text
    works(process, "starts_others")


@pytest.mark.skipif(importlib.util.find_spec("lightning") is None, reason="lightning is not installed")
def test_lightnings_ddp_is_named(process: TrainerHarness) -> None:
    assert "such as Lightning's 'ddp_spawn'" in refusal(process, "lightning")


def test_one_that_replaces_itself_is_told_what_it_may_do(process: TrainerHarness) -> None:
    text = refusal(process, "replaces_itself")
    assert text.startswith("os.exec would replace the training process by '")
    assert text.endswith("start that with subprocess")


def test_it_is_not_started_by_hand(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tasks.trainer"], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "is started by a worker" in done.stderr
