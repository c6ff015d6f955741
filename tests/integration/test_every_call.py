"""Whatever Optuna's trial and study can be asked on a worker is answered as under ``study.optimize``: values, errors,
warnings. The documentation's table says what may differ, and each of its rows does."""

from __future__ import annotations

import functools
import gc
import json
import re
import warnings
from pathlib import Path
from typing import Any

import every_call
import optuna
import pytest
from fleet import ROOT, Fleet
from optuna.storages import RDBStorage

from tasks.limits import MAX_NAME, MAX_STEP
from tasks.storable import MAX_ATTRIBUTES, MAX_DEPTH, MAX_VALUE, RESERVED

PAGE = ROOT / "docs" / "objectives.md"
TITLE = "### What differs from `study.optimize`"
FIRST = {"x": 0.5}
Answers = dict[str, list[Any]]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return asked_on_a_worker(tmp_path_factory.mktemp("ours"), ["minimize"])


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return asked_under_optimize(tmp_path_factory.mktemp("theirs"), ["minimize"])


def asked_on_a_worker(folder: Path, directions: list[str]) -> Answers:
    given = ", ".join(f"{json.dumps(name)} = {json.dumps(value)}" for name, value in every_call.FIXED.items())
    it = Fleet(None, folder)
    spec = it.write_spec(f"""
name = "every"
objective = "every_call:objective"
directions = {directions}
trials = 2
seed = 1
enqueue = [{{x = 0.5}}, {{{given}}}]
[args]
folder = "{folder}"
[sampler]
name = "random"
""")
    done = it.call("run", str(spec), "--slots", "1")
    assert done.returncode == 0, done.stderr
    return answers_in(folder)


def asked_under_optimize(folder: Path, directions: list[str]) -> Answers:
    storage = RDBStorage(f"sqlite:///{folder / 'studies.db'}")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        study_name="every", storage=storage, sampler=optuna.samplers.RandomSampler(seed=1), directions=directions
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for params in (FIRST, every_call.FIXED):
            study.enqueue_trial(params)
        objective = functools.partial(every_call.objective, folder=str(folder))
        study.optimize(objective, n_trials=1)
        with pytest.raises((ValueError, AssertionError), match=r"Cannot tell a COMPLETE trial|Should not reach"):
            # It has told itself.
            study.optimize(objective, n_trials=1)
    storage.remove_session()
    storage.engine.dispose()
    # The objective asks in threads of its own; Optuna leaves their connections to the collector.
    del study, storage
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    return answers_in(folder)


def answers_in(folder: Path) -> Answers:
    found: Answers = json.loads((folder / "answers.json").read_text())
    return found


def documented() -> set[str]:
    """The calls of the table."""
    table = PAGE.read_text().split(TITLE)[1].split("\n## ")[0]
    rows = [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| `")]
    return {call for row in rows for call in re.findall(r"`([^`]+)`", row)}


def test_everything_that_optuna_has_is_asked() -> None:
    assert every_call.never_called() == []


def test_everything_that_is_asked_is_there_to_be_asked(theirs: Answers) -> None:
    assert {key: answer for key, (answer, _) in theirs.items() if answer.startswith(("NameError", "SyntaxError"))} == {}


def test_only_what_is_documented_differs(ours: Answers, theirs: Answers) -> None:
    assert undocumented(ours, theirs) == {}


@pytest.mark.long
def test_of_several_objectives_too(tmp_path: Path) -> None:
    directions = ["minimize", "maximize"]
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
    found = asked_on_a_worker(tmp_path / "ours", directions)
    assert undocumented(found, asked_under_optimize(tmp_path / "theirs", directions)) == {}


def undocumented(ours: Answers, theirs: Answers) -> dict[str, Any]:
    """The differences that the table lacks."""
    assert ours.keys() == theirs.keys()
    may = documented()
    differing = {key for key in ours if ours[key] != theirs[key]}
    unexpected = {key for key in differing if key.partition(" ")[2] not in may}
    return {key: {"on a worker": ours[key], "in Optuna": theirs[key]} for key in unexpected}


def test_what_is_documented_differs(ours: Answers, theirs: Answers) -> None:
    differing = {key.partition(" ")[2] for key in ours if ours[key] != theirs[key]}
    assert documented() - differing == set()


def test_what_is_refused_is_refused_in_one_line_that_names_it(ours: Answers) -> None:
    for key, (answer, _) in ours.items():
        if key.partition(" ")[2] in documented():
            assert re.match(r"(NotStorable|ValueError|TypeError|RuntimeError): .{20,300}$", answer), (key, answer)


def test_the_limits_are_in_the_documentation() -> None:
    text = PAGE.read_text()
    for limit in (MAX_NAME, MAX_STEP, MAX_VALUE, MAX_ATTRIBUTES, MAX_DEPTH, *RESERVED):
        assert str(limit) in text
