"""Commands that look and change nothing. They need the database alone."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from orchestrator.cli.commands import cli

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from orchestrator.recorded import TrialFacts
    from orchestrator.storage.history import History


@cli.command()
@click.argument("study")
@click.argument("trial")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.")
def why(study: str, trial: str, as_json: bool) -> None:
    """Say why TRIAL of STUDY was pruned, failed, or goes on.

    TRIAL is its number. Looks into ORCHESTRATOR_STORAGE_URL, or else into the SQLite file that `run` keeps in
    ORCHESTRATOR_DATA_DIR [default: .orchestrator].
    """
    from orchestrator.answer import to_json
    from orchestrator.why import explain

    with _history() as history:
        found = history.trial(study, trial)
    click.echo(json.dumps(to_json(found)) if as_json else explain(found))


@cli.command()
@click.argument("study")
@click.option(
    "--pruner",
    "pruners",
    metavar="RULE",
    multiple=True,
    required=True,
    help="A rule such as 'median n_startup_trials=2', or a spec whose [pruner] is taken. May be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list: what was recorded, then an object a rule.")
def replay(study: str, pruners: tuple[str, ...], as_json: bool) -> None:
    """Run other pruning rules over the learning curves of STUDY.

    Says what each would have saved, and whether it would have pruned the trial that won.
    """
    from orchestrator.replay import Candidate, check, compare
    from orchestrator.spec.inline import read_pruner
    from orchestrator.view.comparison import render
    from orchestrator.view.waiting import waiting

    candidates = [Candidate(text, read_pruner(text, "--pruner")) for text in pruners]
    check(candidates)
    with _history() as history:
        recording = history.recording(study)
    with waiting("replaying", len(candidates) * len(recording.reports), sys.stderr) as advance:
        results = compare(recording, candidates, advance)
    click.echo(json.dumps([each.to_json() for each in results]) if as_json else render(recording, results))


@cli.command()
@click.argument("study")
@click.argument("trial")
@click.option("-f", "--follow", is_flag=True, help="Go on until the trial has ended.")
@click.option("-n", "--lines", type=click.IntRange(min=0), help="Begin with so many lines from the end [default: all].")
def logs(study: str, trial: str, follow: bool, lines: int | None) -> None:
    """Show what the objective printed in TRIAL of STUDY.

    The file is kept in ORCHESTRATOR_DATA_DIR of the worker that trained it; where that is another host, its name is
    told.
    """
    from orchestrator.logs import show, standard_output
    from orchestrator.settings import load_settings

    def look() -> TrialFacts:
        with _history() as history:
            return history.trial(study, trial)

    show(load_settings().data_dir.resolve(), look, standard_output(), lines=lines, follow=follow)


def _history() -> AbstractContextManager[History]:
    from orchestrator.settings import load_settings

    settings = load_settings()
    from orchestrator.storage.look import open_history, url_of

    return open_history(url_of(settings))
