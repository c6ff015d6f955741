"""Commands that show studies and their trials and change nothing: ls, status, watch, trials, why, logs, compare,
replay, tune-rule."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import click

from orchestrator.api.trial_listing import SORTS, STATES, open_listing
from orchestrator.cli.options import (
    TrialState,
    complete_rule,
    json_option,
    studies_argument,
    study_argument,
    trial_argument,
)
from orchestrator.cli.program import cli
from orchestrator.cli.shared import (
    READS_DATABASE,
    answer,
    fleet,
    show,
    tell,
    terminal_width,
)

SHOWN = 50
"""Trials that `trials` lists for a person by default."""


@cli.command(epilog=READS_DATABASE)
@json_option("a JSON list, an object for each study")
def ls(as_json: bool) -> None:
    """List the studies, a line for each.

    The state of each, its trials, how fast it goes, when it will be done, what pruning has saved.
    """
    from orchestrator.terminal.overview import render_list

    with fleet() as there:
        found = there.statuses(must_exist=True)
    answer(
        as_json,
        lambda: [each.to_json() for each in found],
        lambda: render_list([each.overview for each in found], terminal_width(), time.time()),
    )


@cli.command(epilog=READS_DATABASE)
@study_argument
@json_option("one JSON object")
def status(study: str, as_json: bool) -> None:
    """Show one study: progress, slots, pace, ETA.

    How many trials of STUDY have ended and how, the best one, how fast it goes, what pruning has saved, and what each
    slot does.
    """
    from orchestrator.terminal.overview import render_status

    with fleet() as there:
        found = there.handle(study).status()
    answer(as_json, found.to_json, lambda: render_status(found.overview, terminal_width(), found.at))


@cli.command()
@study_argument
@json_option("a JSON object for each change, a line each, until the study has ended")
def watch(study: str, as_json: bool) -> None:
    """Watch a study until it has ended.

    The live view that `run` has, of any STUDY, on any machine that reaches the fleet's Redis and database. Without
    ORCHESTRATOR_REDIS_URL it is a study of the `run` that works in ORCHESTRATOR_DATA_DIR. Ctrl-C ends the watching and
    nothing else.
    """
    try:
        with fleet() as there:
            handle = there.handle(study)
            if not as_json:
                handle.watch(sys.stdout)
                return
            from orchestrator.terminal.views import JsonView

            view = JsonView(sys.stdout)
            # A program is told what happens from now on; it can read the past with `trials --json`.
            for event in handle.events():
                view.show(event, 0.0)
    except KeyboardInterrupt:
        sys.exit(130)


@cli.command(epilog=READS_DATABASE)
@study_argument
@click.option(
    "--state",
    "states",
    multiple=True,
    type=TrialState(STATES, case_sensitive=False),
    help="Only trials in this state. May be given several times.",
)
@click.option(
    "--sort",
    type=click.Choice(SORTS),
    default="number",
    show_default=True,
    help="By number the oldest first; by value the best, by anything else the most.",
)
@click.option("-r", "--reverse", is_flag=True, help="Reverse the order.")
@click.option(
    "-n",
    "--limit",
    metavar="N",
    type=click.IntRange(min=0),
    help=f"Show at most N trials, by number the newest; 0 for all [default: {SHOWN}; with --json all].",
)
@json_option("a JSON list with everything that is known of each trial")
def trials(study: str, states: tuple[str, ...], sort: str, reverse: bool, limit: int | None, as_json: bool) -> None:
    """List the trials of a study.

    A line for each trial of STUDY: its state, value, epochs, how long it took, where it ran, why it was pruned or how
    it failed, its parameters. The best one is marked with *, or with several objectives the Pareto front. Columns for
    which there is no room are left out, and named.
    """
    from orchestrator.common.json_text import json_list

    most = SHOWN if limit is None and not as_json else limit or None
    with (
        fleet() as there,
        open_listing(there.reader, study, states=states, sort=sort, reverse=reverse, limit=most) as found,
    ):
        if as_json:
            for text in json_list(found.rows()):
                click.echo(text, nl=False)
            return
        lines = found.lines(terminal_width())
    show(*lines)


@cli.command(epilog=READS_DATABASE)
@study_argument
@trial_argument
@json_option("the answer as one JSON object")
def why(study: str, trial: str, as_json: bool) -> None:
    """Say why a trial was pruned, failed, or goes on.

    TRIAL is its number in STUDY, `best` or `last`. Says which rule decided, at which epoch, and what it compared; of a
    failure the error; of a trial that completed how close it came to being pruned.
    """
    with fleet() as found:
        tell(found.handle(study).why(trial), as_json)


@cli.command()
@study_argument
@trial_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the trial has ended.")
@click.option(
    "-n",
    "--lines",
    metavar="N",
    type=click.IntRange(min=0),
    help="Begin N lines before the end [default: all].",
)
@json_option("a JSON object for each line")
def logs(study: str, trial: str, follow: bool, lines: int | None, as_json: bool) -> None:
    """Show what the objective printed in a trial.

    The log of TRIAL of STUDY, a number, `best` or `last`, is kept in ORCHESTRATOR_DATA_DIR of the worker that trained
    it; if that is another host, its name is shown.
    """
    from orchestrator.terminal.log_printer import print_log, standard_output

    with fleet() as found:
        print_log(found.handle(study).logs(trial, lines=lines, follow=follow), standard_output(as_json))


@cli.command(epilog=READS_DATABASE)
@studies_argument
@json_option("one JSON object, with the whole curves")
def compare(studies: tuple[str, ...], as_json: bool) -> None:
    """Compare studies: spec, best, curves, cost.

    A column for each STUDY: how its trials ended, the best value, how good it was after how many epochs, what it cost,
    and in which keys the specs differ. All that is compared is in the database.

    \b
    orchestrator compare digits digits-2
    """
    with fleet() as found:
        tell(found.compare(*studies), as_json)


@cli.command(epilog=READS_DATABASE)
@studies_argument
@click.option(
    "--pruner",
    "pruners",
    metavar="RULE",
    multiple=True,
    required=True,
    shell_complete=complete_rule,
    help="A rule such as 'median n_startup_trials=2', or a spec whose [pruner] is taken. May be given several times.",
)
@json_option("a JSON list: what was recorded, then an object for each rule; of several studies an object")
def replay(studies: tuple[str, ...], pruners: tuple[str, ...], as_json: bool) -> None:
    """Try other pruning rules on what was recorded.

    Runs them over the learning curves of each STUDY, trains nothing, and says what each would have saved, and whether
    it would have pruned the trial that won. A rule that promotes searches among the recorded trials; what it would
    have asked for after the last of them is not known.

    \b
    orchestrator replay digits --pruner asha --pruner "median n_startup_trials=2"
    """
    from orchestrator.api import rule_trials

    with fleet() as there:
        tell(rule_trials.replay(there.reader, studies, pruners, "--pruner", _waiting), as_json)


@cli.command(epilog=READS_DATABASE)
@studies_argument
@json_option("the answer as one JSON object")
def tune_rule(studies: tuple[str, ...], as_json: bool) -> None:
    """Recommend a pruning rule from what was recorded.

    Lets many rules search among the learning curves of each STUDY, in several orders, and names the one that trains the
    fewest epochs and hardly ever loses the best trial: one for objectives with checkpoints, one for those without.
    Trains nothing. Studies that were recorded without a pruner tell the most.

    \b
    orchestrator tune-rule digits
    """
    from orchestrator.api import rule_trials

    with fleet() as there:
        tell(rule_trials.tune_rule(there.reader, studies, _waiting), as_json)


def _waiting(what: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
    """Shows a bar on standard error."""
    from orchestrator.terminal.progress_bar import waiting

    return waiting(what, total, sys.stderr)
