"""The command line: parse, call one function, print. Heavy modules are imported by the command that needs them."""

# Importing a module registers its commands.
from orchestrator.cli import (  # noqa: F401
    code,
    deletion,
    fleet,
    maintenance,
    models,
    processes,
    results,
    schedule,
    search,
    steer,
    studies,
)
from orchestrator.cli.program import cli, console, main

__all__ = ["cli", "console", "main"]
