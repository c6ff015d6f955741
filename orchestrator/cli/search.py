"""Commands that run a search: init, validate, run, submit."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.api.spec_input import load_spec
from orchestrator.cli.options import json_option, name_option, slot_options, spec_argument
from orchestrator.cli.program import PROGRAM, cli, main
from orchestrator.cli.shared import fleet, load_settings, tell

if TYPE_CHECKING:
    from orchestrator.common.settings import Settings
    from orchestrator.common.slot_options import SlotOptions
    from orchestrator.model.search_summary import Summary
    from orchestrator.spec import Spec


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
def init(folder: Path) -> None:
    """Write a first spec and objective.

    Puts search.toml and train.py into DIR, which is made where it is missing: a small search that runs as it is, in a
    few seconds, with comments that say what to replace. Files that are there already are never overwritten.
    """
    from orchestrator.api.search import Search

    spec, objective = Search.init(folder)
    click.echo(f"wrote {spec} and {objective}", err=True)
    enter = "" if folder.resolve() == Path.cwd() else f"cd {shlex.quote(str(folder))} && "
    click.echo(f"{enter}{PROGRAM} run {spec.name}")


@cli.command()
@spec_argument
@click.option("--no-import", is_flag=True, help="Do not import the objective: read its source alone.")
@json_option("what SPEC is as one JSON object")
def validate(spec: Path, no_import: bool, as_json: bool) -> None:
    """Check a spec, and all that `run` needs.

    Objective, sampler and pruner, the settings, the servers, the study of that name: whatever would end `run` in its
    first seconds is said here, in one line. The objective is imported in a process of its own, and not called. Makes
    and changes nothing.
    """
    from orchestrator.api.search import Search

    tell(Search.from_file(spec).validate(imports=not no_import), as_json)


@cli.command()
@spec_argument
@name_option
@click.option(
    "--trials", metavar="N", type=click.IntRange(min=1), help="Number of trials in all, instead of the one in SPEC."
)
@slot_options
@json_option("the result as one JSON object, the last line on stdout")
def run(spec: Path, name: str | None, trials: int | None, slots: SlotOptions, as_json: bool) -> None:
    """Run a whole search on this machine.

    SPEC is a TOML file that says what to search; `orchestrator init` writes one to begin with. Shows the search live
    on a terminal, and as a line for each trial elsewhere. Ctrl-C stops it; the same command goes on with it.

    Nothing else has to run: without ORCHESTRATOR_REDIS_URL and ORCHESTRATOR_STORAGE_URL an embedded server and an
    SQLite file are used, kept in ORCHESTRATOR_DATA_DIR [default: .orchestrator].
    """
    settings = load_settings()
    run_here(load_spec(spec, settings, name, trials), str(spec), slots, settings, as_json=as_json)


def run_here(search: Spec, source: str, slots: SlotOptions, settings: Settings, *, as_json: bool = False) -> None:
    """Runs a search in the foreground and prints its summary; a search that failed ends the process with 1."""
    from orchestrator.api.local_search import run_with
    from orchestrator.terminal.summary import render_summary, to_json
    from orchestrator.terminal.views import make_view

    def show(summary: Summary) -> None:
        click.echo(render_summary(summary, 80), err=as_json)
        if as_json:
            click.echo(json.dumps(to_json(summary)))

    summary = run_with(settings, search, source, slots, make_view(sys.stderr), show, main)
    if summary.state == "failed":
        sys.exit(1)


@cli.command()
@spec_argument
@name_option
def submit(spec: Path, name: str | None) -> None:
    """Hand a spec to a running `serve`.

    Prints the study's name, and does not wait for the search: `orchestrator watch NAME` shows it. The same spec again
    goes on with the study. Needs ORCHESTRATOR_REDIS_URL and ORCHESTRATOR_STORAGE_URL.
    """
    from orchestrator.api.search import Search

    search = Search.from_file(spec, name=name)
    with fleet() as found:
        search.submit(found)
    if search.spec.schedule is not None:
        click.echo("note: this is one run, now; 'orchestrator beat' runs what a [schedule] says", err=True)
    click.echo(search.name)
