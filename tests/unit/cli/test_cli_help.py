"""The help: every command under a heading, no line cut off, and the answer to a misspelt command."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from orchestrator.cli import cli, main
from orchestrator.cli.processes import PassThrough
from orchestrator.cli.program import SECTIONS
from tasks.worker import options

LOOKING = (
    "ls",
    "status",
    "watch",
    "trials",
    "why",
    "logs",
    "replay",
    "tune-rule",
    "compare",
    "workers",
    "best",
    "report",
    "validate",
    "run",
    "doctor",
    "schedule",
)


def commands() -> Iterator[tuple[str, click.Command]]:
    for name, command in sorted(cli.commands.items()):
        if not command.hidden:
            yield name, command


def help_of(*arguments: str, width: int = 80) -> str:
    done = CliRunner().invoke(cli, [*arguments, "--help"], terminal_width=width)
    assert done.exit_code == 0
    return done.output


def test_every_command_stands_under_a_heading() -> None:
    known = [name for names in SECTIONS.values() for name in names]
    assert {name for name, _ in commands()} <= set(known)
    assert len(known) == len(set(known))
    text = help_of()
    assert "Other:" not in text
    headings = [line.rstrip(":") for line in text.splitlines() if re.fullmatch(r"[A-Z][a-z ]+:", line)]
    assert headings == ["Options", *(each for each, names in SECTIONS.items() if set(names) & set(cli.commands))]
    assert text.index("  init ") < text.index("  run ") < text.index("  ls "), "in the order in which one meets them"


@pytest.mark.parametrize("width", [80, 100])
def test_no_line_of_the_overview_is_cut_off(width: int) -> None:
    text = help_of(width=width)
    assert "..." not in text.split("Running a search:")[1]
    assert all(len(line) <= width for line in text.splitlines())


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_the_help_of_a_command(name: str) -> None:
    text = help_of(name)
    first = text.splitlines()[2].strip()
    assert first.endswith("."), "a sentence"
    assert len(first) < 70
    assert max(map(len, text.splitlines())) <= 80
    for option in cli.commands[name].params:
        if isinstance(option, click.Option) and not option.hidden:
            assert option.help, f"{option.opts[0]} says nothing"


def test_whatever_looks_can_be_read_by_a_program() -> None:
    for name in LOOKING:
        assert "--json" in help_of(name), name


def test_a_worker_is_given_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    """Its options are declared twice: here for the help and the shell, in ``tasks`` where nothing of this is known."""
    command = cli.commands["worker"]
    assert isinstance(command, PassThrough)
    with pytest.raises(SystemExit):
        options.parse(["--help"])
    taken = set(re.findall(r"--[a-z-]+", capsys.readouterr().out.split("options:")[1]))
    assert set(re.findall(r"^ +(--[a-z-]+)", help_of("worker"), re.MULTILINE)) == taken - {"--help"}
    hidden = [option for each in command.params if getattr(each, "hidden", False) for option in each.opts]
    assert options.parse([text for option in hidden for text in (option, "1")])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["statsu", "s"], "No such command 'statsu'; did you mean 'status'? (see 'orchestrator --help')"),
        (["trials", "s", "--srot", "value"], "No such option '--srot'; did you mean '--sort'?"),
        (["trials", "s", "--sort", "valu"], "'valu' is not one of 'number', 'value'"),
        (["worker", "--slot", "2"], "No such option '--slot'; did you mean '--slots'?"),
        (["worker", "--slots", "two"], "'two' is not a valid integer"),
        (["why", "s"], "Missing argument 'TRIAL' (see 'orchestrator why --help')"),
        (["completion", "tcsh"], "'tcsh' is not one of 'bash', 'zsh', 'fish'"),
    ],
)
def test_what_is_misspelt(
    arguments: list[str], expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["orchestrator", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    assert (ended.value.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert expected in told.err


def test_without_a_command_the_help_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["orchestrator"])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    assert (ended.value.code, told.out) == (2, "")
    assert told.err.startswith("Usage: orchestrator")
    assert "(see" not in told.err


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_arguments_that_are_not_utf_8_are_refused_in_one_line(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command, whatever it would have done with them: an argument, an option's value, an option."""
    for odd in ("a\udcffb", "--name=\udcff", "--\udcff"):
        monkeypatch.setattr(sys, "argv", ["orchestrator", name, odd])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        assert (ended.value.code, shown.out) == (2, "")
        assert shown.err == f"orchestrator: argument {odd!r}: is not UTF-8; give it in UTF-8, or rename the file\n"
