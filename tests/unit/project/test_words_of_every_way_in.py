"""Messages of what the command line and Python share name things in words that fit both."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.common.advice import EQUALS

PACKAGE = Path(__file__).parents[3] / "orchestrator"
OF_THE_SHELL = ("cli", "doctor", "web")
"""Packages whose messages only a command shows; the remedies of `doctor` are commands."""

ERRORS = ("BadInput", "Fault", "NotReached", "OrchestratorError", "StudyFailed", "NoAnswer", "ServerTrouble")
_OPTION = re.compile(r"(?<![\w-])--[a-z]")
_COMMAND = re.compile(r"'orchestrator ([a-z-]+)")
_OF_A_PROGRAM = "{lr}"
"""In an example of the user's own program."""


def messages() -> Iterator[tuple[str, str]]:
    """Yields where an error is made, and each text in it."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0] in OF_THE_SHELL:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ERRORS:
                for each in ast.walk(node):
                    if isinstance(each, ast.Constant) and isinstance(each.value, str):
                        yield f"{path.relative_to(PACKAGE)}:{each.lineno}", each.value


def test_no_message_names_an_option_of_a_command() -> None:
    found = list(messages())
    assert len(found) > 500
    assert [each for each in found if _OPTION.search(each[1]) and _OF_A_PROGRAM not in each[1]] == []


def test_a_command_that_has_an_equal_in_python_is_named_by_how_to() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0] not in OF_THE_SHELL:
            texts = [each.value for each in ast.walk(ast.parse(path.read_text())) if isinstance(each, ast.Constant)]
            commands = {name for text in texts if isinstance(text, str) for name in _COMMAND.findall(text)}
            found += [(path.name, name) for name in commands if name in EQUALS]
    # A line about a Ctrl-C, which knows by itself whether a command was interrupted.
    assert found == [("interruption.py", "resume")]


@pytest.mark.parametrize("text", ["name the format with --format", "--gpus"])
def test_an_option_is_recognized(text: str) -> None:
    assert _OPTION.search(text)
