"""The page of the Python interface is what the docstrings say, and says all."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

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


OF_THE_SHELL = {
    *("serve", "worker", "beat", "flower", "dashboard"),
    *("init", "prepare", "completion", "schedule"),
}
"""Commands without an equal in Python: processes, and what is done for files and shells."""


def test_every_command_has_an_equal_in_python() -> None:
    named = {
        words.split()[1] for words in inline_code(PAGE.with_name("python.md")) if words.startswith("orchestrator ")
    }
    assert {name for name, command in cli.commands.items() if not command.hidden} - named <= OF_THE_SHELL
    assert cli.commands.keys() >= OF_THE_SHELL


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
