"""The command that lists trials."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from orchestrator.cli.access import LOOKS_IN, look
from orchestrator.cli.arguments import json_option, study_argument
from orchestrator.cli.commands import cli
from orchestrator.cli.terminal import show, width
from orchestrator.queries.trial_selection import SORTS, STATES, choose

SHOWN = 50
"""So many trials a person is shown who does not ask for more."""


@cli.command(epilog=LOOKS_IN)
@study_argument
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(STATES, case_sensitive=False),
    help="Only trials in this state. May be given several times.",
)
@click.option(
    "--sort",
    type=click.Choice(SORTS),
    default="number",
    show_default=True,
    help="By number the oldest first; by value the best, by anything else the most.",
)
@click.option("-r", "--reverse", is_flag=True, help="The other way round.")
@click.option(
    "-n",
    "--limit",
    metavar="N",
    type=click.IntRange(min=0),
    help=f"At the most so many, the newest ones by number; 0 for all [default: {SHOWN}; with --json all].",
)
@json_option("a JSON list with everything that is known of each trial")
def trials(study: str, states: tuple[str, ...], sort: str, reverse: bool, limit: int | None, as_json: bool) -> None:
    """List the trials of a study.

    A line for each trial of STUDY: its state, value, epochs, how long it took, where it ran, why it was pruned or how
    it failed, its parameters. The best one is marked with *, or with several objectives the Pareto front. Columns for
    which there is no room are left out, and named.
    """
    from orchestrator.common.json_text import json_list
    from orchestrator.terminal.trial_table import remarks, render, to_json

    now = datetime.now(UTC)
    most = SHOWN if limit is None and not as_json else limit or None
    with look() as history:
        listing = history.listing(study)
        best = listing.best()
        chosen = choose(
            listing.heads(),
            states=states,
            sort=sort,
            reverse=reverse,
            limit=most,
            now=now,
            best=best,
            directions=listing.directions,
        )
        if as_json:
            for text in json_list(to_json(each, best, now) for each in listing.trials(chosen.heads)):
                click.echo(text, nl=False)
            return
        found = list(listing.trials(chosen.heads))
    if not found:
        click.echo("no trials yet" if not states else f"no trials that are {' or '.join(states)}")
        return
    objectives = len(listing.directions)
    lines, left_out = render(found, best, objectives, width(), now)
    marked = sum(each.head.number in best for each in found)
    show(*lines)
    if notes := remarks(len(found), chosen.among, sort == "number", marked, objectives, left_out):
        show("", *notes)
