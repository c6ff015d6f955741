"""What an objective may do wrong: each has a defined outcome, Optuna's where it has one, and the next trial is well.

All run as trials of one search, with one slot, so that what one leaves behind the next one finds.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import odd_objectives
import pytest
from fleet import HERE, Fleet, Servers, with_environment
from optuna.trial import FrozenTrial, TrialState

SPEC = """
name = "odd"
objective = "odd_objectives:odd"
trials = {trials}
seed = 1
[sampler]
name = "random"
[pruner]
name = "none"
[retry]
max_attempts = 1
"""

DIED, SENT = "TrainingProcessDied", "a trial hears and says nothing in a child process"
ONLY_HERE: dict[str, tuple[str, float | None, str, str]] = {
    "raises_system_exit": ("FAIL", None, "SystemExit", "3"),
    "raises_ctrl_c": ("FAIL", None, "KeyboardInterrupt", ""),
    "raises_cancelled": ("FAIL", None, "CancelledError", ""),
    "raises_generator_exit": ("FAIL", None, "GeneratorExit", ""),
    "calls_quit": ("FAIL", None, "SystemExit", "None"),
    "dies": ("FAIL", None, DIED, "exit code 3"),
    "dies_with_a_child_alive": ("FAIL", None, DIED, "exit code 4"),
    "closes_all_other_descriptors": ("FAIL", None, DIED, "signal 9"),
    "reports_step_beyond": ("FAIL", None, "ValueError", "step is 2147483648, but must be 0 to 2147483647"),
    "reports_step_far_beyond": ("FAIL", None, "ValueError", "step is 9223372036854775808, but must be"),
    "forks_and_the_child_returns": ("COMPLETE", 0.0, "", ""),
    "forks_and_the_child_raises": ("COMPLETE", 1.0, "", ""),
    "forks_and_the_child_exits": ("COMPLETE", 7.0, "", ""),
    "forks_and_the_child_speaks": ("COMPLETE", 1.0, "", ""),
    "closes_standard_descriptors": ("COMPLETE", 0.0, "", ""),
    "closes_standard_streams": ("COMPLETE", 0.0, "", ""),
    "lowers_a_limit_for_good": ("COMPLETE", 0.0, "", ""),
    "leaves_a_thread": ("COMPLETE", 0.0, "", ""),
}
"""State, value, error and a part of its message, where plain Optuna has no outcome, another one, or would end."""

MESSAGES = {
    "returns_none": "The value None could not be cast to float",
    "returns_nan": "The value nan is not acceptable",
    "returns_two": "The number of the values 2 did not match the number of the objectives 1",
    "reports_text": "The `value` argument is of type '<class 'str'>' but supposed to be a float",
    "reports_step_negative": "`step=-1` must be non-negative",
    "reports_step_none": "The `step` argument is of type '<class 'NoneType'>' but supposed to be an int",
    "kind_changes": "Cannot set different distribution kind to the same parameter name",
    "raises_mute": "(its text cannot be had)",
    "raises_surrogates": "caf? \\0 here",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("odd")


@pytest.fixture(scope="module")
def trials(folder: Path) -> dict[str, FrozenTrial]:
    """The trials of the search, by what they did."""
    it = Fleet(None, folder)
    spec = it.write_spec(SPEC.format(trials=len(odd_objectives.TABLE)))
    done = it.call("run", str(spec), "--slots", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert with_environment("ORCHESTRATOR_DATA_DIR", str(folder / "data")) == []
    servers = Servers("", f"sqlite:///{folder / 'data' / 'studies.db'}")
    found = servers.study("odd").get_trials()
    servers.close()
    return {trial.user_attrs["behaviour"]: trial for trial in found}


@pytest.fixture(scope="module")
def plain(folder: Path, trials: dict[str, FrozenTrial]) -> dict[str, list[Any]]:
    """The same in the same order on plain Optuna, as far as that survives it."""
    names = [name for name in trials if name not in ONLY_HERE]
    output = folder / "plain.json"
    done = subprocess.run(
        [sys.executable, str(HERE / "odd_on_optuna.py"), json.dumps(names), str(output)],
        env=os.environ | {"PYTHONPATH": str(HERE)},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return dict(zip(names, json.loads(output.read_text()), strict=True))


@pytest.mark.parametrize("name", [name for name in odd_objectives.TABLE if name not in ONLY_HERE])
def test_the_outcome_is_optunas(name: str, trials: dict[str, FrozenTrial], plain: dict[str, list[Any]]) -> None:
    trial = trials[name]
    state, value, steps, params = plain[name]
    found = [trial.state.name, trial.value, sorted(map(list, trial.intermediate_values.items())), sorted(trial.params)]
    assert repr(found) == repr([state, value, steps, params]), trial.user_attrs.get("failure")
    assert ("failure" in trial.user_attrs) == (trial.state is TrialState.FAIL)


@pytest.mark.parametrize("name", ONLY_HERE)
def test_the_outcome_is_defined(name: str, trials: dict[str, FrozenTrial]) -> None:
    trial = trials[name]
    failure = {"error": "", "message": ""} | trial.user_attrs.get("failure", {})
    state, value, error, message = ONLY_HERE[name]
    assert (trial.state.name, trial.value, failure["error"]) == (state, value, error), failure
    assert message in failure["message"]


@pytest.mark.parametrize("name", MESSAGES)
def test_the_message_says_what_would_be_right(name: str, trials: dict[str, FrozenTrial]) -> None:
    assert MESSAGES[name] in trials[name].user_attrs["failure"]["message"]


def test_no_report_is_lost_and_a_child_adds_none(trials: dict[str, FrozenTrial]) -> None:
    assert len(trials["reports_very_often"].intermediate_values) == odd_objectives.MANY
    assert trials["forks_and_the_child_speaks"].intermediate_values == {1: 0.25}
    assert math.isnan(trials["reports_nan"].intermediate_values[1])


def test_what_is_printed_is_in_the_trials_log(folder: Path, trials: dict[str, FrozenTrial]) -> None:
    def log(name: str) -> bytes:
        return (folder / "data" / "logs" / "studies" / "odd" / f"trial-{trials[name].number:05d}.log").read_bytes()

    assert len(log("prints_megabytes")) > 2_000_000
    assert SENT.encode() in log("forks_and_the_child_speaks")
    assert b"in the child" in log("forks_and_the_child_raises")
    assert b"the way to the worker is closed" in log("closes_all_other_descriptors")
