"""The page of the Python interface is what the docstrings say, and says all."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import orchestrator
from orchestrator.cli import cli
from tests.api_reference import COMMAND, SHOWN, members, public, reference
from tests.pages import inline_code

PAGE = Path(__file__).parents[3] / "docs" / "api.md"
METHODS = [
    (f"{name}.{method}", member)
    for name in SHOWN
    if inspect.isclass(public(name)) and not issubclass(public(name), Exception)
    for method, member in members(public(name))
]


def test_the_page_is_what_the_docstrings_say() -> None:
    assert PAGE.read_text() == reference(), f"run: {COMMAND}"


EQUALS = {
    "init": "Search.init",
    "validate": "Search.validate",
    "run": "Search.run",
    "submit": "Search.submit",
    "ls": "Fleet.statuses",
    "status": "StudyHandle.status",
    "watch": "StudyHandle.watch",
    "trials": "StudyHandle.trials",
    "why": "StudyHandle.why",
    "logs": "StudyHandle.logs",
    "compare": "Fleet.compare",
    "replay": "Fleet.replay",
    "tune-rule": "Fleet.tune_rule",
    "workers": "Fleet.workers",
    "workers drain": "Fleet.drain",
    "schedule": "Fleet.schedules",
    "schedule run": "Fleet.run_schedule",
    "pause": "StudyHandle.pause",
    "resume": "StudyHandle.resume",
    "stop": "StudyHandle.stop",
    "retry": "StudyHandle.retry",
    "enqueue": "StudyHandle.enqueue",
    "delete": "StudyHandle.delete",
    "best": "StudyHandle.best_trials",
    "models ls": "Fleet.models",
    "models get": "StudyHandle.get_model",
    "models rm": "StudyHandle.remove_models",
    "code": "StudyHandle.code",
    "report": "StudyHandle.report",
    "export": "StudyHandle.export",
    "doctor": "Fleet.doctor",
    "prepare": "Fleet.prepare",
}
"""The equal of each command in Python."""

NO_EQUAL = {
    **dict.fromkeys(
        ("serve", "worker", "beat", "flower", "dashboard"), "a process of its own, which a service manager starts"
    ),
    "completion": "is a shell's",
    "models": "has subcommands alone",
}
"""Why a command has none."""


def commands(group: click.Group, above: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if not command.hidden:
            yield f"{above}{name}"
            if isinstance(command, click.Group):
                yield from commands(command, f"{above}{name} ")


def test_every_command_has_an_equal_in_python_or_a_reason_why_not() -> None:
    assert sorted(commands(cli)) == sorted([*EQUALS, *NO_EQUAL])
    methods = dict(METHODS)
    assert not [equal for equal in EQUALS.values() if equal not in methods]


def test_the_page_names_every_command_with_its_equal() -> None:
    code = inline_code(PAGE.with_name("python.md"))
    called = {match[1] for words in code if (match := re.match(r"(?:\w+|Search\(…\))\.(\w+)", words))}
    assert {f"orchestrator {name}" for name in EQUALS} <= set(code)
    assert {equal.partition(".")[2] for equal in EQUALS.values()} <= called


def test_every_public_name_is_on_it() -> None:
    assert set(orchestrator.__all__) <= set(SHOWN)


@pytest.mark.parametrize(("name", "member"), METHODS)
def test_every_method_says_what_its_arguments_are(name: str, member: Any) -> None:
    words = inspect.getdoc(member) or ""
    assert words, name
    if isinstance(member, property):
        return
    arguments = inspect.signature(member).parameters.keys() - {"self"}
    if len(arguments) > 1:
        assert all(
            re.search(rf"^    ([*\w, ]+, )?\**{each}(, [\w, ]+)?:", words, re.MULTILINE) for each in arguments
        ), name


@pytest.mark.parametrize(("name", "member"), METHODS)
def test_every_method_has_types(name: str, member: Any) -> None:
    function = member.fget if isinstance(member, property) else member
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty, name
    assert all(
        each.annotation is not inspect.Parameter.empty for key, each in signature.parameters.items() if key != "self"
    ), name
