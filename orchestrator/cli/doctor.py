"""The command that looks for trouble."""

from __future__ import annotations

import json
import sys

import click

from orchestrator.cli.arguments import json_option
from orchestrator.cli.commands import cli
from orchestrator.cli.terminal import show


@cli.command()
@click.option("--repair", "mends", is_flag=True, help="Mend what is safe to mend, and say what was done.")
@json_option("one JSON object")
def doctor(mends: bool, as_json: bool) -> None:
    """Look for trouble, and say what helps.

    Looks at the installation, the servers, and all that database, queue, stream and workers disagree about; each
    finding comes with its remedy. Looks where the two URLs point, or else at the `run` that works in
    ORCHESTRATOR_DATA_DIR, for a few seconds, and changes nothing without --repair. Ends with 1 where something is a
    problem.
    """
    from orchestrator.common.settings import load_settings

    settings = load_settings()
    from orchestrator.doctor.checks import findings
    from orchestrator.doctor.gather import gather
    from orchestrator.doctor.render import has_problem, render, to_json
    from orchestrator.doctor.repair import repair

    facts = gather(settings)
    found = findings(facts)
    done: list[str] | None = None
    if mends:
        done = list(repair(settings, found))
        if done:
            facts = gather(settings)
            found = findings(facts)
    if as_json:
        click.echo(json.dumps(to_json(facts, found, done)))
    else:
        show(render(found, done))
    if has_problem(found):
        sys.exit(1)
