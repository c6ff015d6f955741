"""The commands. Progress and logs go to stderr; what a program may read goes to stdout."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.errors import BadInput, OrchestratorError

if TYPE_CHECKING:
    from orchestrator.settings import Settings
    from orchestrator.spec import Spec
    from orchestrator.view.summary import Summary

ANSWER_SECONDS = 10.0


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="trial-orchestrator", prog_name="orchestrator")
def cli() -> None:
    """Event-driven hyperparameter search on GPU workers.

    Start with `orchestrator run SPEC`: the whole search on this machine. For a fleet, run `serve` once, `worker` on
    every machine with GPUs, and `submit SPEC`.
    """


@cli.command()
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the study, instead of the one in SPEC.")
@click.option("--trials", type=click.IntRange(min=1), help="Number of trials in all, instead of the one in SPEC.")
@click.option("--slots", type=click.IntRange(min=1), help="Trials at once [default: one per GPU; 1 to 4 on a CPU].")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object on stdout.")
def run(spec: Path, name: str | None, trials: int | None, slots: int | None, as_json: bool) -> None:
    """Run the whole search SPEC in the foreground.

    Without ORCHESTRATOR_REDIS_URL and ORCHESTRATOR_STORAGE_URL an embedded server and an SQLite file are used, kept
    in ORCHESTRATOR_DATA_DIR [default: .orchestrator]. Ctrl-C stops; the same command goes on.
    """
    settings = _settings()
    search = _checked(spec, name, trials, settings)
    from orchestrator.local.run import Plan
    from orchestrator.local.run import run as run_search
    from orchestrator.view.base import make_view
    from orchestrator.view.summary import render_summary, to_json

    view = make_view(sys.stderr)

    def show(summary: Summary) -> None:
        view.close()
        click.echo(render_summary(summary, 80), err=as_json)
        if as_json:
            click.echo(json.dumps(to_json(summary)))

    try:
        summary = run_search(Plan(search, str(spec), slots, settings, dict(os.environ)), view, show)
    finally:
        view.close()
    if summary.state == "failed":
        sys.exit(1)


@cli.command()
@click.argument("spec", type=click.Path(path_type=Path))
def validate(spec: Path) -> None:
    """Check SPEC and that its objective, sampler and pruner are there, and say what it is. Runs nothing of it."""
    search = _checked(spec, None, None, _settings())
    _check_classes(search, spec)
    pruner = f"{search.pruner.name} with promotion" if search.pruner.promotes else search.pruner.name
    click.echo(f"{spec}: {search.name}: {search.trials} trials of {search.objective}")
    click.echo(f"sampler {search.sampler.name}, pruner {pruner}, {', '.join(search.objectives)}")


@cli.command()
@click.option("--study", default="", help="Look after this study alone.")
@click.option("--journal", type=click.Path(path_type=Path), help="Record everything the core is fed in this file.")
@click.option("--parent", type=int, default=0, hidden=True)
def serve(study: str, journal: Path | None, parent: int) -> None:
    """Run the control plane: one is active, others stand by."""
    if parent:
        from tasks.lifeline import die_with_parent

        die_with_parent(parent)
    settings = _settings()
    redis_url, storage_url = _urls(settings)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s serve %(message)s", stream=sys.stderr)
    from orchestrator.serve import serve as serve_studies

    serve_studies(settings, redis_url, storage_url, only=study, record=journal)


@cli.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
@click.pass_context
def worker(context: click.Context) -> None:
    """Train trials from the queue; see `orchestrator worker --help`."""
    settings = None if {"-h", "--help"} & set(context.args) else _settings()
    if settings is not None and settings.redis_url is None:
        raise BadInput("ORCHESTRATOR_REDIS_URL", "is not set", "a worker needs the URL of the Redis it serves")
    # Another program takes this process over: nothing of the control plane stays in a worker, and no way to the
    # database is handed on to it.
    environment = {key: value for key, value in os.environ.items() if key != "ORCHESTRATOR_STORAGE_URL"}
    os.execve(sys.executable, [sys.executable, "-m", "tasks.worker", *context.args], environment)


@cli.command()
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the study, instead of the one in SPEC.")
def submit(spec: Path, name: str | None) -> None:
    """Hand SPEC to a running `serve` and print the study's name."""
    settings = _settings()
    search = _checked(spec, name, None, settings)
    redis_url, storage_url = _urls(settings)
    from orchestrator.commands import Issuer
    from orchestrator.serve import check_redis
    from orchestrator.storage import Store
    from orchestrator.storage.database import Database
    from tasks.app import connect

    _check_classes(search, spec)
    client = connect(redis_url)
    check_redis(client, redis_url)
    database = Database(storage_url)
    database.prepare()
    Issuer(Store(database), client).submit(search, lambda: None, ANSWER_SECONDS)
    click.echo(search.name)


def main() -> None:
    """Runs the command line; every error that is the user's is one line, and an exit code."""
    if "" not in sys.path:
        # As with ``python -m``: an objective beside the spec is found from the folder one works in.
        sys.path.insert(0, "")
    try:
        cli.main(prog_name="orchestrator", standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" (see '{context.command_path} --help')" if context else ""
        click.echo(f"orchestrator: {error.format_message()}{hint}", err=True)
        sys.exit(2)
    except click.Abort:
        sys.exit(130)
    except OrchestratorError as error:
        click.echo(f"orchestrator: {error}", err=True)
        sys.exit(error.exit_code)


def _settings() -> Settings:
    from orchestrator.settings import load_settings

    return load_settings()


def _urls(settings: Settings) -> tuple[str, str]:
    for variable, value in (
        ("ORCHESTRATOR_REDIS_URL", settings.redis_url),
        ("ORCHESTRATOR_STORAGE_URL", settings.storage_url),
    ):
        if value is None:
            raise BadInput(variable, "is not set", "a fleet needs both URLs; 'orchestrator run' alone needs neither")
    return str(settings.redis_url), str(settings.storage_url)


def _checked(path: Path, name: str | None, trials: int | None, settings: Settings) -> Spec:
    """Returns the spec, after a look at its objective that imports nothing."""
    from orchestrator.objective_check import check_objective
    from tasks.objective_path import split_path

    spec = _spec(path, name, trials)
    try:
        check_objective(spec.objective, split_path(settings.objective_path))
    except BadInput as error:
        raise BadInput(f"{path}: {error.where}", error.problem, error.remedy) from None
    return spec


def _check_classes(search: Spec, path: Path) -> None:
    """Checks what only Optuna, or the user's own classes, can tell."""
    from orchestrator.spec.pruners import check_pruner
    from orchestrator.spec.samplers import check_sampler

    check_sampler(search, str(path))
    check_pruner(search, str(path))


def _spec(path: Path, name: str | None, trials: int | None) -> Spec:
    from orchestrator.spec import load

    spec = load(path)
    changed = {key: value for key, value in (("name", name), ("trials", trials)) if value is not None}
    if not changed:
        return spec
    from orchestrator.spec.model import validate

    data = {key: value for key, value in spec.to_json().items() if key != "format"}
    return validate(data | changed, "--name" if name is not None else "--trials")
