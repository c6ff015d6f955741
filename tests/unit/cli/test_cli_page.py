"""docs/command-line.md: the commands in the order of the help, with their options and valid examples."""

from __future__ import annotations

import re
import shlex
import textwrap
from pathlib import Path

import click
import pytest

from orchestrator.cli import cli
from orchestrator.cli.program import SECTIONS
from tests.pages import blocks, command_lines

PAGE = Path(__file__).parents[3] / "docs" / "command-line.md"
COMMANDS = [name for name in cli.list_commands(click.Context(cli)) if not cli.commands[name].hidden]


def parts() -> dict[str, str]:
    """Returns the text about each command, in the order of the page."""
    _, *found = re.split(r"^### `([a-z-]+)[^`]*`\n", PAGE.read_text(), flags=re.MULTILINE)
    return dict(zip(found[::2], found[1::2], strict=True))


def options_of(name: str) -> str:
    """Returns the list of a command's options as it has to stand on the page."""
    command = cli.commands[name]
    context = click.Context(command, info_name=name)
    lines = []
    for option in command.params:
        record = option.get_help_record(context) if isinstance(option, click.Option) else None
        if record is not None:
            text = f"- `{record[0]}`: {record[1]}"
            lines += textwrap.wrap(text, 118, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines)


def test_the_commands_stand_in_the_order_of_the_help() -> None:
    assert list(parts()) == COMMANDS, "a command is missing in docs/command-line.md, or stands elsewhere"
    headings = re.findall(r"^## (.+)$", PAGE.read_text(), flags=re.MULTILINE)
    there = [heading for heading, names in SECTIONS.items() if set(names) & set(COMMANDS)]
    assert headings[: len(there)] == there


@pytest.mark.parametrize("name", COMMANDS)
def test_the_options_are_those_of_the_command(name: str) -> None:
    after_the_examples = parts().get(name, "").rpartition("```")[2]
    listed = [line for line in after_the_examples.splitlines() if line.startswith(("- `-", "  "))]
    assert "\n".join(listed) == options_of(name), f"docs/command-line.md has to say of '{name}':\n{options_of(name)}"


@pytest.mark.parametrize("name", COMMANDS)
def test_its_heading_names_what_it_takes(name: str) -> None:
    arguments = [each for each in cli.commands[name].params if isinstance(each, click.Argument)]
    wanted = " ".join([name, *(each.make_metavar(click.Context(cli)) for each in arguments)])
    assert f"### `{wanted}`\n" in PAGE.read_text()


def examples() -> list[str]:
    """Returns the commands of the page, up to where the shell does something else with them."""
    lines = [line for block in blocks(PAGE) for line in command_lines(block)]
    shown = re.findall(r"\borchestrator (.+)$", "\n".join(lines), flags=re.MULTILINE)
    return [re.split(r" [|>&]|\)\"$", line)[0] for line in shown]


@pytest.mark.parametrize("line", examples())
def test_an_example_is_one(line: str) -> None:
    context = click.Context(cli, info_name="orchestrator", **cli.context_settings)
    name, command, rest = cli.resolve_command(context, shlex.split(line))
    assert command is not None
    with command.make_context(name, rest, parent=context) as made:
        assert made.params is not None


def test_every_command_has_an_example() -> None:
    assert {line.split()[0] for line in examples()} >= set(COMMANDS)
