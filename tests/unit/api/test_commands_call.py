"""Every command goes through the Python interface: what it calls there is seen to be called."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Final

import click
import pytest
from click.testing import CliRunner

from orchestrator.cli import cli
from tests.unit.api.test_api_reference import EQUALS, NO_EQUAL

BEHIND: Final = {
    "run": "local_search.run_with",
    "delete": "study_files.StudyFiles.contents",
    "models rm": "study_files.StudyFiles.model",
    "resume": "study_handle.StudyHandle.resume_by",
    "trials": "trial_listing.open_listing",
    "replay": "rule_trials.replay",
    "tune-rule": "rule_trials.tune_rule",
    "schedule run": "schedules.run_now",
}
"""What both a command and its equal in Python call, where the command does not call its equal, or not at first."""

GIVEN: Final = {
    "init": ["folder"],
    "validate": ["search.toml"],
    "run": ["search.toml"],
    "submit": ["search.toml"],
    "why": ["one", "0"],
    "logs": ["one", "0"],
    "retry": ["one", "0"],
    "enqueue": ["one", "x=1"],
    "replay": ["one", "--pruner", "median"],
    "delete": ["one", "--yes"],
    "models rm": ["one", "0", "--name", "a", "--yes"],
    "models get": ["one", "0"],
    "workers drain": ["worker"],
    "schedule run": ["nightly"],
    **{name: [] for name in ("ls", "workers", "schedule", "models ls", "doctor", "prepare")},
}
"""The arguments of each command; those that are not here take the name of a study."""

SPEC: Final = """
name = "one"
objective = "tasks.objectives.digits:objective"
trials = 1
"""


class Reached(BaseException):
    """What was to be called is called."""


def called(command: str) -> str:
    return BEHIND.get(command, f"{EQUALS[command]}")


def owner_and_name(place: str) -> tuple[Any, str]:
    """Returns what holds a function of the interface, and the function's name there."""
    first, *others = place.split(".")
    modules = {"Search": "search", "Fleet": "fleet", "StudyHandle": "study_handle"}
    if first in modules:
        return getattr(importlib.import_module(f"orchestrator.api.{modules[first]}"), first), others[0]
    owner = importlib.import_module(f"orchestrator.api.{first}")
    for each in others[:-1]:
        owner = getattr(owner, each)
    return owner, others[-1]


def reached(monkeypatch: pytest.MonkeyPatch, place: str, words: list[str]) -> bool:
    """Runs a command; returns whether it calls this function, which does nothing then."""
    owner, name = owner_and_name(place)
    original = getattr(owner, name)

    def stand_in(*_: object, **__: object) -> None:
        raise Reached

    with monkeypatch.context() as patched:
        # As a method, or where a module has imported the function by its name.
        patched.setattr(owner, name, stand_in)
        for module in ("studies", "schedule", "search", "steer"):
            there = importlib.import_module(f"orchestrator.cli.{module}")
            for alias in [key for key, value in vars(there).items() if value is original]:
                patched.setattr(there, alias, stand_in)
        try:
            CliRunner().invoke(cli, words, catch_exceptions=False, standalone_mode=False)
        except Reached:
            return True
        except Exception:
            return False
    return False


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("search.toml").write_text(SPEC)


def leaves(group: click.Group, above: str = "") -> list[str]:
    found = []
    for name, command in group.commands.items():
        if not isinstance(command, click.Group) or command.invoke_without_command:
            found.append(f"{above}{name}")
        if isinstance(command, click.Group):
            found += leaves(command, f"{above}{name} ")
    return found


@pytest.mark.parametrize("command", [each for each in leaves(cli) if each not in NO_EQUAL])
def test_a_command_calls_the_interface(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [*command.split(), *GIVEN.get(command, ["one"])]
    if command == "compare":
        words.append("two")
    assert reached(monkeypatch, called(command), words), f"'orchestrator {command}' does not call {called(command)}"


def test_a_command_that_goes_past_it_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not reached(monkeypatch, "StudyHandle.status", ["ls"])
