"""The command line: parse, call one function, print. Heavy modules are imported by the command that needs them."""

# Importing a module registers its commands.
from orchestrator.cli import deletion, fleet, maintenance, models, processes, results, schedule, search, steer, studies  # noqa: F401
from orchestrator.cli.program import cli, console, main

__all__ = ["cli", "console", "main"]
