"""Commands about the workers of a fleet: workers, workers drain."""

from __future__ import annotations

import click

from orchestrator.cli.options import json_option
from orchestrator.cli.program import cli
from orchestrator.cli.shared import answer, fleet, terminal_width


@cli.group(invoke_without_command=True)
@json_option("a JSON list, an object for each worker")
@click.pass_context
def workers(context: click.Context, as_json: bool) -> None:
    """List workers, slots, and what they train.

    The host, the queues and the slots of each worker, which trial each slot trains, and when its last heartbeat was
    heard; takes some seconds. Without ORCHESTRATOR_REDIS_URL it is the worker of the `run` that works in
    ORCHESTRATOR_DATA_DIR. `orchestrator workers drain NAME` has one take no more trials.
    """
    if context.invoked_subcommand is not None:
        return
    from orchestrator.terminal.worker_table import render, to_json

    with fleet() as there:
        found = there.workers()
    answer(as_json, lambda: [to_json(each) for each in found], lambda: render(found, terminal_width()))


@workers.command("drain")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def drain(names: tuple[str, ...]) -> None:
    """Have workers end once their trials have.

    Each worker NAME takes no more trials from now on, finishes those that run, and ends. SIGTERM has it hand them back
    at once instead.
    """
    with fleet() as found:
        for name in dict.fromkeys(names):
            click.echo(f"{found.drain(name)} drains")
