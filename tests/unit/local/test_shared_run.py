"""Whether the run that works in a folder can train the study of another one, and what is said where it cannot."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from orchestrator.common.settings import load_settings
from orchestrator.local.running_search import RunningSearch, describe
from orchestrator.local.shared_run import _obstacle
from orchestrator.spec import parse

SPEC = 'name = "two"\nobjective = "tasks.objectives.digits:objective"\ntrials = 3\n'
PROGRAM = """
name = "two"
trials = 3
[command]
run = ["python", "train.py", "{x}"]
[space]
x = { type = "float", low = 0.0, high = 1.0 }
"""
NOTIFIED = SPEC + '[notify]\ncommand = ["mail"]\n'


def obstacle(text: str, **changes: Any) -> Any:
    """Returns what keeps a run whose host differs by ``changes`` from sharing."""
    plan = SimpleNamespace(spec=parse(text, "two.toml"), settings=load_settings(), environment={})
    mine = describe(plan.spec, plan.settings)
    return _obstacle(plan, msgspec.structs.replace(mine, **changes), mine)  # type: ignore[arg-type]


def test_what_the_other_run_can_train_is_shared() -> None:
    assert obstacle(SPEC) is None
    assert obstacle(PROGRAM, commands="python train.py") is None
    assert obstacle(PROGRAM, commands="*") is None
    assert obstacle(NOTIFIED, notify_commands=True) is None


@pytest.mark.parametrize(
    ("text", "changes", "why", "remedy"),
    [
        (SPEC, {"queue": "gpu"}, "serves the queue 'gpu', not 'trials'", "both specs name one queue, such as 'gpu'"),
        (
            PROGRAM,
            {"commands": "python other.py"},
            "does not run the program of this spec",
            "it was started with ORCHESTRATOR_COMMANDS='python train.py '\"'\"'{x}'\"'\"''",
        ),
        (NOTIFIED, {}, "does not run the command that this spec notifies by", "ORCHESTRATOR_NOTIFY_COMMANDS=1"),
        (
            SPEC.replace("tasks.objectives.digits", "nowhere"),
            {},
            "does not admit the objective 'nowhere:objective'",
            "both have ORCHESTRATOR_OBJECTIVES with 'nowhere' in it",
        ),
        (SPEC, {"code": "x"}, "was started with other settings, or from another folder", "both have the same settings"),
    ],
)
def test_what_keeps_it_from_that_and_what_would_help_are_said(
    text: str, changes: dict[str, Any], why: str, remedy: str
) -> None:
    found = obstacle(text, **changes)
    assert found.why == why
    assert remedy in found.remedy


def test_which_setting_is_another_one_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plan = SimpleNamespace(spec=parse(SPEC, "two.toml"), settings=load_settings(), environment={})
    mine = describe(plan.spec, plan.settings)
    monkeypatch.setenv("ORCHESTRATOR_OBJECTIVES", "mine")
    monkeypatch.chdir(tmp_path)
    host = describe(plan.spec, load_settings())
    found = _obstacle(plan, host, mine)  # type: ignore[arg-type]
    assert found is not None
    assert found.why == "was started with another working directory, ORCHESTRATOR_OBJECTIVES"
    assert found.remedy == "both have the same working directory, ORCHESTRATOR_OBJECTIVES"


def test_a_run_of_an_earlier_version_is_understood() -> None:
    before = {"pid": 1, "study": "one", "queue": "trials", "servers": "s", "code": "c"}
    found = msgspec.json.decode(msgspec.json.encode(before), type=RunningSearch)
    assert (found.parts, found.commands, found.notify_commands) == ({}, "", False)
