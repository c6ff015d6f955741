"""The command line: parse, call one function, print. Heavy modules are imported by the command that needs them."""

# They add their commands.
from orchestrator.cli import (  # noqa: F401
    completion,
    doctor,
    exporting,
    listing,
    looking,
    reporting,
    scheduling,
    standing,
    starting,
    steering,
    upkeep,
    web,
)
from orchestrator.cli.commands import cli, main

__all__ = ["cli", "main"]
