"""The command line: parse, call one function, print. Heavy modules are imported by the command that needs them."""

from orchestrator.cli import doctor, looking, reporting, standing, steering  # noqa: F401  # add their commands
from orchestrator.cli.commands import cli, main

__all__ = ["cli", "main"]
