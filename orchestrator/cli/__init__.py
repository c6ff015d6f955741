"""The command line: parse, call one function, print. Heavy modules are imported by the command that needs them."""

from orchestrator.cli import looking  # noqa: F401  # adds its commands
from orchestrator.cli.commands import cli, main

__all__ = ["cli", "main"]
