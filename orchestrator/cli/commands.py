"""The commands. Progress and logs go to stderr; what a program may read goes to stdout."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import time
import warnings
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.arguments import json_option, spec_argument
from orchestrator.cli.kinds import Passed, Sections
from orchestrator.common.errors import BadInput, OrchestratorError
from tasks.code_path import add_code_folders
from tasks.gc_tuning import RARELY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.common.settings import Settings
    from orchestrator.model.search_summary import Summary
    from orchestrator.spec import Spec

PROGRAM = "orchestrator"
ANSWER_SECONDS = 10.0

EPILOG = """`orchestrator COMMAND --help` says more about each. `run` needs no servers. A fleet has two, which every
process finds in ORCHESTRATOR_REDIS_URL and, workers excepted, ORCHESTRATOR_STORAGE_URL."""


@click.group(
    cls=Sections, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=EPILOG
)
@click.version_option(package_name="trial-orchestrator", prog_name=PROGRAM)
def cli() -> None:
    """Hyperparameter search with Optuna objectives, on this machine or on a fleet of GPU workers.

    \b
    Begin with
        orchestrator init mine
        cd mine && orchestrator run search.toml
    """
    # Optuna warns of each choice that is a list whenever one is read back. The trial's log says it, where it is chosen.
    warnings.filterwarnings("ignore", "Choices for a categorical distribution", UserWarning)


@cli.command()
@spec_argument
@click.option("--name", help="Name of the study, instead of the one in SPEC.")
@click.option(
    "--trials", metavar="N", type=click.IntRange(min=1), help="Number of trials in all, instead of the one in SPEC."
)
@click.option(
    "--slots", metavar="N", type=click.IntRange(min=1), help="Trials at once [default: one per GPU; 1 to 4 on a CPU]."
)
@json_option("the result as one JSON object, the last line on stdout")
def run(spec: Path, name: str | None, trials: int | None, slots: int | None, as_json: bool) -> None:
    """Run a whole search on this machine.

    SPEC is a TOML file that says what to search; `orchestrator init` writes one to begin with. Shows the search live
    on a terminal, and as a line for each trial elsewhere. Ctrl-C stops it; the same command goes on with it.

    Nothing else has to run: without ORCHESTRATOR_REDIS_URL and ORCHESTRATOR_STORAGE_URL an embedded server and an
    SQLite file are used, kept in ORCHESTRATOR_DATA_DIR [default: .orchestrator].
    """
    settings = _settings()
    search = checked(spec, name, trials, settings)
    from orchestrator.local.run import Plan
    from orchestrator.local.run import run as run_search
    from orchestrator.terminal.summary import render_summary, to_json
    from orchestrator.terminal.views import make_view

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
@spec_argument
@json_option("what SPEC is as one JSON object")
def validate(spec: Path, as_json: bool) -> None:
    """Check a spec, its objective, sampler and pruner.

    Runs nothing of it, and imports nothing of the objective. Says in one line what is wrong, or what SPEC is.
    """
    search = checked(spec, None, None, _settings())
    _check_classes(search, spec)
    if as_json:
        click.echo(json.dumps({"spec": str(spec), **search.shown()}))
        return
    pruner = f"{search.pruner.name} with promotion" if search.pruner.promotes else search.pruner.name
    click.echo(f"{spec}: {search.name}: {search.trials} trials of {search.objective}")
    click.echo(f"sampler {search.sampler.name}, pruner {pruner}, {', '.join(search.objectives)}")
    if search.schedule is not None:
        from orchestrator.terminal.schedule_table import describe

        click.echo(describe(search.schedule, time.time()))


@cli.command()
@click.option("--study", default="", help="Look after this study alone [default: after all].")
@click.option("--journal", type=click.Path(path_type=Path), help="Record everything the core is fed in this file.")
@click.option(
    "--metrics-port",
    type=int,
    metavar="PORT",
    help="Port of the metrics for Prometheus; 0 for none [default: ORCHESTRATOR_METRICS_PORT, or none].",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    help="How the log is written; json is one object a line [default: ORCHESTRATOR_LOG_FORMAT, or text].",
)
@click.option("--commands-of", default="", hidden=True)
@click.option("--parent", type=int, default=0, hidden=True)
def serve(
    study: str,
    journal: Path | None,
    metrics_port: int | None,
    log_format: str | None,
    commands_of: str,
    parent: int,
) -> None:
    """Run the control plane of a fleet.

    It asks for trials, records what workers report, and prunes. One is active; any number may stand by. Needs
    ORCHESTRATOR_REDIS_URL and ORCHESTRATOR_STORAGE_URL. Ctrl-C or SIGTERM ends it; the next one goes on.
    """
    if parent:
        from tasks.process_guards import die_with_parent

        die_with_parent(parent)
    settings = _settings()
    redis_url, storage_url = urls(settings)
    metrics = settings.metrics(metrics_port)
    from tasks.log_lines import set_up

    set_up("serve", log_format or settings.log_format)
    from orchestrator.control.serve import serve as serve_studies
    from orchestrator.notify.policy import policy_of

    policy = policy_of(settings, commands_of)
    serve_studies(settings, redis_url, storage_url, only=study, record=journal, metrics=metrics, policy=policy)


@cli.command(cls=Passed)
@click.option("--slots", type=int, metavar="N", help="Trials at once [default: one per GPU; 1 to 4 without one].")
@click.option("--gpus", metavar="LIST", help="GPUs to use, such as 0,1 [default: all that are visible].")
@click.option("--per-gpu", type=int, metavar="K", help="Slots that share one GPU [default: 1].")
@click.option("--gpus-per-trial", type=int, metavar="K", help="GPUs that each slot has for itself [default: 1].")
@click.option("--queues", metavar="LIST", help="Queues to serve, separated by commas [default: trials].")
@click.option("--name", help="Name of this worker, unique on its host [default: worker-PID].")
@click.option("--loglevel", type=click.Choice(("debug", "info", "warning", "error")), help="[default: info]")
@click.option(
    "--log-format",
    type=click.Choice(("text", "json")),
    help="How the log is written; json is one object a line [default: ORCHESTRATOR_LOG_FORMAT, or text].",
)
@click.option(
    "--metrics-port",
    type=int,
    metavar="PORT",
    help="Port of the metrics for Prometheus; 0 for none [default: ORCHESTRATOR_METRICS_PORT, or none].",
)
@click.option("--data-dir", type=click.Path(), help="Logs and files of trials [default: ORCHESTRATOR_DATA_DIR].")
@click.option("--heartbeat", type=float, metavar="SECONDS", help="[default: ORCHESTRATOR_HEARTBEAT, or 2]")
@click.option("--preload", hidden=True)
@click.option("--parent", type=int, hidden=True)
@click.pass_context
def worker(context: click.Context, /, **_: object) -> None:
    """Train trials from the queue: one on every machine with GPUs.

    Needs ORCHESTRATOR_REDIS_URL and nothing else; a worker never sees the database. SIGTERM makes it hand its trials
    back and leave, a second one ends it at once. What it may run is said by ORCHESTRATOR_OBJECTIVES and
    ORCHESTRATOR_OBJECTIVE_PATH.
    """
    if _settings().redis_url is None:
        raise BadInput("ORCHESTRATOR_REDIS_URL", "is not set", "a worker needs the URL of the Redis it serves")
    from orchestrator.common.settings import without_secrets

    # Another program takes this process over: nothing of the control plane stays in a worker, and neither a way to the
    # database nor what signs notes is handed on to it.
    environment = without_secrets(os.environ)
    os.execve(sys.executable, [sys.executable, "-P", "-m", "tasks.worker", *context.meta[Passed.GIVEN]], environment)


@cli.command()
@spec_argument
@click.option("--name", help="Name of the study, instead of the one in SPEC.")
def submit(spec: Path, name: str | None) -> None:
    """Hand a spec to a running `serve`.

    Prints the study's name, and does not wait for the search: `orchestrator watch NAME` shows it. The same spec again
    goes on with the study. Needs ORCHESTRATOR_REDIS_URL and ORCHESTRATOR_STORAGE_URL.
    """
    settings = _settings()
    search = checked(spec, name, None, settings)
    redis_url, storage_url = urls(settings)
    from orchestrator.control.serve import check_redis
    from orchestrator.messaging.command_client import Issuer
    from orchestrator.storage.command_table import Orders
    from orchestrator.storage.database import Database
    from tasks.app import connect

    _check_classes(search, spec)
    with closing(connect(redis_url)) as client, closing(Database(storage_url)) as database:
        check_redis(client, redis_url)
        database.prepare()
        Issuer(Orders(database), client).submit(search, lambda: None, ANSWER_SECONDS)
    if search.schedule is not None:
        click.echo("note: this is one run, now; 'orchestrator beat' runs what a [schedule] says", err=True)
    click.echo(search.name)


def main() -> None:
    """Runs the command line; every error that is the user's is one line, and an exit code."""
    # What a command imports stays: looking for garbage in it again and again is a tenth of a short command's time.
    gc.set_threshold(RARELY, *gc.get_threshold()[1:])
    # An objective beside the spec is found from the folder one works in, which may be gone.
    with contextlib.suppress(OSError):
        add_code_folders([Path.cwd()])
    try:
        _check_arguments(sys.argv[1:])
        cli.main(prog_name=PROGRAM, standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        _complain(error.format_message())
        sys.exit(2)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" (see '{context.command_path} --help')" if context else ""
        _complain(f"orchestrator: {_explained(error).rstrip('.')}{hint}")
        sys.exit(2)
    except click.Abort:
        sys.exit(130)
    except OrchestratorError as error:
        _complain(f"orchestrator: {error}")
        sys.exit(error.exit_code)
    except Exception as error:
        from tasks.server_errors import Contact, unavailable

        if (found := unavailable(error)) is None:
            raise
        name = "Redis" if found.server == "redis" else "the database"
        if found.contact is Contact.REFUSED:
            _complain(f"orchestrator: {name} refuses: {found.reason}; check its URL, and what it admits")
            sys.exit(2)
        _complain(f"orchestrator: {name} is not available now: {found.reason}; try again in a moment")
        sys.exit(1)


def _complain(line: str) -> None:
    try:
        click.echo(line, err=True)
    except OSError:
        # The terminal was closed. What is still buffered must not fail again, and change the exit code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _check_arguments(arguments: Sequence[str]) -> None:
    """Refuses what no terminal, database or JSON could take, before a command meets it.

    Raises:
        BadInput: an argument is not UTF-8.
    """
    for each in arguments:
        if not each.isascii() and any("\ud800" <= character <= "\udfff" for character in each):
            raise BadInput(f"argument {each[:100]!r}", "is not UTF-8", "give it in UTF-8, or rename the file")


def _explained(error: click.ClickException) -> str:
    """Returns what click says; of similar names only the one that is most so, which comes first."""
    if isinstance(error, click.exceptions.NoSuchOption | click.exceptions.NoSuchCommand) and error.possibilities:
        return f"{error.message.rstrip('.')}; did you mean '{error.possibilities[0]}'?"
    return error.format_message()


def _settings() -> Settings:
    from orchestrator.common.settings import load_settings

    return load_settings()


def urls(settings: Settings) -> tuple[str, str]:
    """Returns Redis and database of the fleet.

    Raises:
        BadInput: one of them is not set.
    """
    for variable, value in (
        ("ORCHESTRATOR_REDIS_URL", settings.redis_url),
        ("ORCHESTRATOR_STORAGE_URL", settings.storage_url),
    ):
        if value is None:
            raise BadInput(variable, "is not set", "a fleet needs both URLs; 'orchestrator run' alone needs neither")
    return str(settings.redis_url), str(settings.storage_url)


def checked(path: Path, name: str | None, trials: int | None, settings: Settings) -> Spec:
    """Returns the spec, after a look at its objective that imports nothing."""
    from orchestrator.spec.objective_check import check_objective
    from tasks.objective_path import split_path

    spec = _spec(path, name, trials)
    try:
        check_objective(spec.objective, split_path(settings.objective_path))
    except BadInput as error:
        raise BadInput(f"{path}: {error.where}", error.problem, error.remedy) from None
    return spec


def _check_classes(search: Spec, path: Path) -> None:
    """Checks what only Optuna, or the user's own classes, can tell."""
    from orchestrator.spec.pruner_factory import check_pruner
    from orchestrator.spec.sampler_factory import check_sampler

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
