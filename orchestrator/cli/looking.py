"""Commands that look and change nothing. They need the database alone."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from orchestrator.cli.access import LOOKS_IN, look
from orchestrator.cli.arguments import complete_rule, json_option, study_argument, trial_argument
from orchestrator.cli.commands import cli
from orchestrator.cli.terminal import show, width

if TYPE_CHECKING:
    from orchestrator.model.records import TrialFacts


@cli.command(epilog=LOOKS_IN)
@study_argument
@trial_argument
@json_option("the answer as one JSON object")
def why(study: str, trial: str, as_json: bool) -> None:
    """Say why a trial was pruned, failed, or goes on.

    TRIAL is its number in STUDY. Says which rule decided, at which epoch, and what it compared; of a failure the
    error; of a trial that completed how close it came to being pruned.
    """
    from orchestrator.terminal.why_json import to_json
    from orchestrator.terminal.why_text import explain

    with look() as history:
        found = history.trial(study, trial)
    click.echo(json.dumps(to_json(found)) if as_json else explain(found))


@cli.command(epilog=LOOKS_IN)
@study_argument
@click.option(
    "--pruner",
    "pruners",
    metavar="RULE",
    multiple=True,
    required=True,
    shell_complete=complete_rule,
    help="A rule such as 'median n_startup_trials=2', or a spec whose [pruner] is taken. May be given several times.",
)
@json_option("a JSON list: what was recorded, then an object for each rule")
def replay(study: str, pruners: tuple[str, ...], as_json: bool) -> None:
    """Try other pruning rules on what was recorded.

    Runs them over the learning curves of STUDY, trains nothing, and says what each would have saved, and whether it
    would have pruned the trial that won.

    \b
    orchestrator replay digits --pruner asha --pruner "median n_startup_trials=2"
    """
    from orchestrator.queries.replay import Candidate, check, compare
    from orchestrator.spec.inline_pruner import read_pruner
    from orchestrator.terminal.progress_bar import waiting
    from orchestrator.terminal.replay_table import render

    candidates = [Candidate(text, read_pruner(text, "--pruner")) for text in pruners]
    check(candidates)
    with look() as history:
        recording = history.recording(study)
    with waiting("replaying", len(candidates) * len(recording.reports), sys.stderr) as advance:
        results = compare(recording, candidates, advance)
    if as_json:
        click.echo(json.dumps([each.to_json() for each in results]))
    else:
        show(*render(recording, results, width()))


@cli.command()
@study_argument
@trial_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the trial has ended.")
@click.option(
    "-n",
    "--lines",
    metavar="N",
    type=click.IntRange(min=0),
    help="Begin with so many lines from the end [default: all].",
)
@json_option("a JSON object for each line")
def logs(study: str, trial: str, follow: bool, lines: int | None, as_json: bool) -> None:
    """Show what the objective printed in a trial.

    The log of TRIAL of STUDY is kept in ORCHESTRATOR_DATA_DIR of the worker that trained it; where that is another
    host, its name is told.
    """
    from orchestrator.common.settings import load_settings
    from orchestrator.queries.logs import show as show_log
    from orchestrator.queries.logs import standard_output

    def find() -> TrialFacts:
        with look() as history:
            return history.trial(study, trial)

    with look() as history:
        history.spec(study)  # what another program printed is not here

    show_log(load_settings().data_dir.resolve(), find, standard_output(as_json), lines=lines, follow=follow)
