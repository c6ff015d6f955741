"""The command that teaches a shell to complete this program's words."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from orchestrator.cli.commands import PROGRAM, cli

SHELLS: Final[dict[str, type[ShellComplete]]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@cli.command(short_help="Print what makes a shell complete words.")
@click.argument("shell", type=click.Choice(tuple(SHELLS)))
def completion(shell: str) -> None:
    """Print what makes SHELL complete commands, options, studies and specs.

    \b
    bash  eval "$(orchestrator completion bash)"  in ~/.bashrc
    zsh   eval "$(orchestrator completion zsh)"   in ~/.zshrc, after compinit
    fish  orchestrator completion fish | source   in ~/.config/fish/config.fish
    """
    click.echo(SHELLS[shell](cli, {}, PROGRAM, f"_{PROGRAM}_COMPLETE".upper()).source(), nl=False)
