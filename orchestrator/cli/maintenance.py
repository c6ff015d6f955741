"""Commands that look after the program itself: doctor, prepare, completion."""

from __future__ import annotations

import sys
from typing import Final

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from orchestrator.cli.options import json_option
from orchestrator.cli.program import PROGRAM, cli
from orchestrator.cli.shared import fleet, tell

SHELLS: Final[dict[str, type[ShellComplete]]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@cli.command()
@click.option("--repair", "repairs", is_flag=True, help="Repair what is safe to repair, and say what was done.")
@json_option("one JSON object")
def doctor(repairs: bool, as_json: bool) -> None:
    """Look for trouble, and say what helps.

    Checks the installation, the servers, and that database, queue, stream and workers agree; each finding has a
    remedy. Checks the servers of the two URLs, or else the `run` that works in ORCHESTRATOR_DATA_DIR, for a few
    seconds, and changes nothing without --repair. The exit code is 1 if it finds a problem.
    """
    with fleet() as there:
        found = there.doctor(repair=repairs)
    tell(found, as_json)
    if not found.data["ok"]:
        sys.exit(1)


@cli.command()
def prepare() -> None:
    """Make the tables that a database lacks, and upgrade older ones.

    The database is that of ORCHESTRATOR_STORAGE_URL, or else the file that `orchestrator run` keeps in
    ORCHESTRATOR_DATA_DIR. `serve`, `run` and `submit` do the same at their start where their role may; where it may
    not, the owner of the tables runs this command first. An SQLite file is copied beside itself before an upgrade.
    """
    with fleet() as found:
        click.echo(f"{found.prepare()} has all tables")


@cli.command(short_help="Print a shell's completion script.")
@click.argument("shell", type=click.Choice(tuple(SHELLS)))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    It completes commands, options, the names of studies and the paths of specs.

    \b
    bash  eval "$(orchestrator completion bash)"  in ~/.bashrc
    zsh   eval "$(orchestrator completion zsh)"   in ~/.zshrc, after compinit
    fish  orchestrator completion fish | source   in ~/.config/fish/config.fish
    """
    click.echo(SHELLS[shell](cli, {}, PROGRAM, f"_{PROGRAM}_COMPLETE".upper()).source(), nl=False)
