"""A copy of a trial is the trial itself in the process that trains; in another one it can be read, and says so."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import optuna
import pytest
from optuna.distributions import FloatDistribution, distribution_to_json

from tasks.contract import Epoch, Job, Parameter
from tasks.trainer.file_writers import ArtifactWriter, CheckpointWriter
from tasks.trainer.interrupt import Interrupter
from tasks.trainer.keeper_channel import KeeperChannel
from tasks.trainer.trial import WorkerTrial

X = Parameter(value=0.25, distribution=distribution_to_json(FloatDistribution(0, 1)))

ELSEWHERE = """
import json, pickle, sys
trial = pickle.load(sys.stdin.buffer)
def asked(call):
    try:
        return repr(call())
    except Exception as error:
        return f"{type(error).__name__}: {error}"
print(json.dumps([
    asked(lambda: trial.number), asked(lambda: trial.params), asked(lambda: trial.user_attrs),
    asked(lambda: trial.constraints), asked(lambda: trial.study.study_name), asked(lambda: trial.study.user_attrs),
    asked(lambda: trial.suggest_float("x", 0, 1)),
    asked(lambda: trial.suggest_float("y", 0, 1)), asked(lambda: trial.report(0.5, 7)),
    asked(lambda: trial.should_prune()), asked(lambda: trial.set_user_attr("k", 1)), asked(lambda: trial.study.trials),
    asked(lambda: trial.set_constraint("k", 1)), asked(lambda: trial.study.stop()),
    asked(lambda: trial.load_checkpoint()), asked(lambda: trial.artifact_dir),
]))
"""


def a_trial(said: list[Any], token: str) -> WorkerTrial:
    job = Job(
        study="s",
        uid="u",
        trial=3,
        token=token,
        attempt=1,
        objective="m:f",
        directions=("minimize",),
        params={"x": X},
        study_attrs={"owner": "me"},
    )
    nowhere = CheckpointWriter(Path("/nowhere"), token), ArtifactWriter(Path("/nowhere"))
    trial = WorkerTrial(job, KeeperChannel(said.append, Interrupter(), 3), *nowhere)
    trial.set_user_attr("note", [2**70])
    trial.set_constraint("memory", -1)
    said.clear()
    return trial


WAYS: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda each: pickle.loads(pickle.dumps(each)),
    "old pickle": lambda each: pickle.loads(pickle.dumps(each, protocol=2)),
    "cloudpickle": lambda each: pickle.loads(cloudpickle.dumps(each)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("way", WAYS)
def test_in_its_process_a_copy_speaks_for_the_trial(way: str) -> None:
    said: list[Any] = []
    trial = a_trial(said, way)
    made = WAYS[way]({"callback": [trial, trial.study]})["callback"] if "pickle" in way else [WAYS[way](trial)]
    assert isinstance(made[0], optuna.Trial)
    assert made[0].params == {"x": 0.25}
    made[0].report(0.5, 1)
    assert said == [Epoch(step=1, value=0.5)]
    assert all(each.study_name == "s" for each in made[1:])


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
def test_elsewhere_it_can_be_read(dumps: Callable[[Any], bytes]) -> None:
    said: list[Any] = []
    trial = a_trial(said, "elsewhere")
    done = subprocess.run([sys.executable, "-c", ELSEWHERE], input=dumps(trial), capture_output=True, check=True)
    answers = json.loads(done.stdout)
    assert answers[:7] == [
        "3",
        "{'x': 0.25}",
        f"{{'note': [{2**70}]}}",
        "{'memory': -1.0}",
        "'s'",
        "{'owner': 'me'}",
        "0.25",
    ]
    refusal = "RuntimeError: a trial hears and says nothing in a child process"
    assert [each for each in answers[7:] if not each.startswith(refusal)] == []
    assert said == []


def test_one_that_has_ended_is_not_kept() -> None:
    said: list[Any] = []
    trial = a_trial(said, "ended")
    kept = pickle.dumps(trial)
    del trial
    gc.collect()
    made = pickle.loads(kept)
    assert made.params == {"x": 0.25}
    with pytest.raises(RuntimeError, match="in a child process"):
        made.report(0.5, 1)
    assert said == []
