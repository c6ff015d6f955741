"""A whole search in the foreground: embedded server, worker and control plane, and a view of the study."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from orchestrator.common.data_folder import database_file, storage_url_of
from orchestrator.common.errors import BadInput, StudyFailed
from orchestrator.common.file_lock import FolderInUse, data_lock, name_study
from orchestrator.common.optuna_import import import_optuna
from orchestrator.common.patience import Patience
from orchestrator.common.settings import bad_settings_are_bad_input, ensure_data_dir, without_secrets
from orchestrator.common.signals import handled_endings
from orchestrator.local.child_process import ChildProcess, ForkedChild, SpawnedChild
from orchestrator.local.data_folder_check import WatchedFiles, check_contents
from orchestrator.local.embedded_redis import EmbeddedServer
from orchestrator.local.interruption import Endings, Interrupted, hold, left_interrupted
from orchestrator.local.plan import Plan, has_ended
from orchestrator.local.running_search import abandoned, describe, published
from orchestrator.local.server_retry import outages_shown, server_retry
from orchestrator.local.shared_run import GuestWatch, share
from orchestrator.messaging.code_sender import put_code_of
from orchestrator.messaging.dispatch import queue_names
from orchestrator.messaging.redis_check import check_redis
from orchestrator.model.search_summary import Summary
from orchestrator.model.study_states import ENDED
from orchestrator.spec import Spec
from orchestrator.terminal.views import View
from orchestrator.terminal.watch import follow, newest
from tasks import redis_keys
from tasks.app import as_bytes, connect
from tasks.codec import decode_from_trainer
from tasks.metrics_endpoint import PORT
from tasks.objective_path import OBJECTIVE_PATH, check_folders, split_path
from tasks.program.allowlist import COMMANDS, entry_of
from tasks.trainer_messages import Preloaded

if TYPE_CHECKING:
    from orchestrator.model.study_status import NotificationStatus
    from orchestrator.storage.database import Database
    from orchestrator.storage.store import Store

DRAIN_SECONDS = 12.0
"""Time that a worker has to hand its trials back when it shuts down."""

POLL_SECONDS = 0.25
TABLES_SECONDS = 0.03
"""Interval at which a new database is looked at while its tables are made."""

BAD_INPUT = 2
"""Exit code of a process whose options, environment or servers cannot be used; the last line of its log says why."""

POSTS = 3
"""Attempts after which a notification is left to the next control plane of the database."""


def run(plan: Plan, view: View, show: Callable[[Summary], None]) -> Summary:
    """Runs the search to its end and returns its summary. However it ends, no process is left behind.

    Where another run works in the folder, that one trains the study, as far as it can, and this one takes over when it
    has ended.

    ``show`` gets the summary as soon as it is known; the processes take a moment to end.

    Raises:
        BadInput: the spec or a setting cannot be used; no study was made or changed.
        Interrupted: Ctrl-C; the same call goes on where this one stopped.
        StudyFailed: the worker or the control plane ended unexpectedly.
        DataDeleted: the data folder, or the database in it, was deleted.
    """
    begun = time.monotonic()
    settings = plan.settings
    with bad_settings_are_bad_input():
        check_folders(split_path(settings.objective_path))
    folder = ensure_data_dir(settings.data_dir).resolve()
    check_contents(folder, settings)
    endings = Endings(ends_process=plan.command_line is not None)
    with handled_endings(endings), left_interrupted(plan, view, endings):
        while True:
            try:
                return _run_alone(plan, view, show, folder, endings, begun)
            except FolderInUse as busy:
                if not busy.holder:
                    raise
                shared = share(plan, view, folder, busy, endings, begun)
            if shared is not None:
                show(shared)
                return shared


def _run_alone(
    plan: Plan,
    view: View,
    show: Callable[[Summary], None],
    folder: Path,
    endings: Endings,
    begun: float,
) -> Summary:
    """Runs the search with processes of its own; raises FolderInUse where another run works in the folder."""
    settings, spec, storage_url = plan.settings, plan.spec, storage_url_of(plan.settings)
    with ExitStack() as stack:
        lock = stack.enter_context(data_lock(folder, endings.check))
        # Their processes were killed together with the run that they had handed their studies to.
        abandoned(folder)
        name_study(folder, spec.name if settings.storage_url is None else None)
        embedded = None if settings.redis_url else _embedded(folder, lock, stack, spec)
        redis_url = embedded.url if embedded else str(settings.redis_url)
        client = connect(redis_url)
        with outages_shown(view):
            server_retry(endings.check)(lambda: check_redis(client, redis_url))
        artifact_url = settings.artifact_url or str(folder / "artifacts")
        environment = plan.environment | {
            "ORCHESTRATOR_REDIS_URL": redis_url,
            "ORCHESTRATOR_STORAGE_URL": storage_url,
            "ORCHESTRATOR_CHECKPOINT_URL": settings.checkpoint_url or str(folder / "checkpoints"),
            "ORCHESTRATOR_ARTIFACT_URL": artifact_url,
            "ORCHESTRATOR_DATA_DIR": str(folder),
            OBJECTIVE_PATH: settings.objective_path,
            COMMANDS: _admitted(plan),
            "ORCHESTRATOR_HEARTBEAT": str(settings.heartbeat),
            "ORCHESTRATOR_LEASE": str(settings.lease),
        }
        put_code_of(client, spec, settings.keyring())
        endings.check()
        view.say(f"starting the workers of '{spec.name}'")

        def start_serve() -> ChildProcess:
            child = _start_serve(plan, environment, folder, lock)
            endings.children.append(child)
            stack.callback(child.stop)
            return child

        # A new interpreter begins first: it imports by itself what this process does not need, and makes the tables.
        server = start_serve() if plan.command_line is None else None
        worker = _start_worker(plan, environment, folder, lock)
        endings.children.append(worker)
        stack.callback(worker.stop, DRAIN_SECONDS)
        if server is None:
            _import_for_fork(plan)
        from orchestrator.messaging.command_client import CommandClient
        from orchestrator.storage.command_table import CommandTable
        from orchestrator.storage.database import Database

        stack.enter_context(outages_shown(view))
        database = Database(storage_url)
        stack.callback(database.close)
        endings.check()
        view.say("preparing the database")
        if server is not None:
            _await_tables(database, worker, server, endings.check)
        server_retry(endings.check)(database.prepare)
        # A fork must not share a connection.
        database.close()
        server = server or start_serve()
        # The control plane, which ends after it, records what it reports until then.
        stack.callback(worker.stop, DRAIN_SECONDS)
        found: list[Store] = []

        def store() -> Store:
            """Returns what reads the study. Its import takes long, and the first trial needs none of it."""
            if not found:
                import_optuna()
                from orchestrator.storage.store import Store

                found.append(Store(database))
                stack.callback(found[0].close)
            return found[0]

        files = [folder, folder / "lock", *([] if settings.storage_url else [database_file(settings)])]
        watched = WatchedFiles(files)

        def end_at_once() -> None:
            # Without a database they have nothing to hand over.
            for child in (worker, server):
                child.stop(0.0)

        stack.enter_context(watched.explaining(end_at_once))

        def check() -> None:
            watched.check()
            endings.check()
            if embedded is not None:
                embedded.check()
            _check_children(worker, server)

        retry = server_retry(check)
        view.say(f"importing objective '{spec.objective}'" if spec.command is None else "waiting for a slot")
        issuer = CommandClient(CommandTable(database), client, retry)
        # Before any process is told to end, other runs in the folder are to look for another one.
        taking = stack.enter_context(ExitStack())
        guests = GuestWatch(folder, spec.name, issuer)

        def check_all() -> None:
            check()
            guests.check()

        asked = False
        try:
            _await_objective(plan, client, check, retry)
            taking.enter_context(published(folder, describe(spec, settings, _admitted(plan))))
            since, asked = retry(lambda: newest(client, spec.name)), True
            if issuer.submit(spec, check) not in ENDED:
                view.say("waiting for the first trial to start")
                follow(client, spec.name, since, view, check_all, lambda: retry(lambda: has_ended(store(), spec.name)))
        except Interrupted:
            taking.close()
            # Where an earlier run was killed, the control plane goes on with the study before it is asked to.
            if asked or retry(lambda: store().state(spec.name)) not in (None, *ENDED):
                hold(plan, view, issuer, storage_url, endings)
            raise
        taking.close()
        watched.check()
        worker.begin_stop()
        summary = retry(lambda: _summarize(store(), spec.name, storage_url, artifact_url, begun))
        show(summary)
        if spec.notify.posts or spec.notify.command:
            _await_notes(store(), spec.name, view, check, retry)
        return summary


def _import_for_fork(plan: Plan) -> None:
    """Imports what the control plane needs, while the trainers import theirs, and checks what only Optuna can judge.

    ``Search`` has checked that when it was made.
    """
    import orchestrator.control.serve
    import orchestrator.queries.study_summary  # noqa: F401
    from orchestrator.spec.pruner_factory import check_pruner
    from orchestrator.spec.sampler_factory import check_sampler

    check_sampler(plan.spec, plan.source)
    check_pruner(plan.spec, plan.source)


def _await_tables(database: Database, worker: ChildProcess, server: ChildProcess, check: Callable[[], None]) -> None:
    """Waits until the control plane has made the tables that a new database lacks; only Optuna makes its own.

    Raises:
        BadInput: it refuses the database.
    """

    def check_all() -> None:
        check()
        _check_children(worker, server)

    retry = server_retry(check_all)
    while retry(database.lacks_tables):
        check_all()
        time.sleep(TABLES_SECONDS)


def _summarize(store: Store, name: str, storage_url: str, artifact_url: str, begun: float) -> Summary:
    from orchestrator.queries.study_summary import summarize

    return summarize(store, name, storage_url, artifact_url, time.monotonic() - begun)


def _embedded(folder: Path, lock: int, stack: ExitStack, spec: Spec) -> EmbeddedServer:
    """Starts the embedded server, and empties the queue that a killed run may have left.

    The database holds what was in the queue. The control plane sends it again, in order, once it knows which trials
    were cut off; a worker that took the old entries first would train them in another order.
    """
    server = EmbeddedServer(folder / "redis", lock)
    stack.callback(server.stop)
    server.wait_ready()
    connect(server.url).delete(*queue_names(spec.queue), *redis_keys.CELERYS_OWN)
    return server


def _admitted(plan: Plan) -> str:
    """Returns the list of the commands that the worker runs: the user's own, and the spec's."""
    listed = plan.environment.get(COMMANDS, "")
    command = plan.spec.command
    return listed if command is None else f"{listed}\n{entry_of(command.command())}"


def _start_worker(plan: Plan, environment: dict[str, str], folder: Path, lock: int) -> ChildProcess:
    arguments = [
        "-m",
        "tasks.worker",
        "--name",
        _worker_name(),
        "--queues",
        plan.spec.queue,
        "--preload",
        plan.spec.reference,
        *plan.slots.arguments(),
    ]
    workers = without_secrets(environment)
    if port := plan.settings.metrics_port:
        # The control plane uses the port itself.
        workers[PORT] = str(port + 1)
    return SpawnedChild("worker", arguments, workers, folder / "logs" / "worker.log", lock)


def _worker_name() -> str:
    """Returns the worker's name; threads of one process may each run a search."""
    in_main = threading.current_thread() is threading.main_thread()
    return f"run-{os.getpid()}" if in_main else f"run-{os.getpid()}-{threading.get_native_id()}"


def _start_serve(plan: Plan, environment: dict[str, str], folder: Path, lock: int) -> ChildProcess:
    # Running a spec here allows its command here; the commands of other studies in the database stay forbidden.
    arguments = ["serve", "--commands-of", plan.spec.name]
    if plan.settings.storage_url is None:
        # The folder's own database may hold other searches, which must not go on now.
        arguments += ["--study", plan.spec.name]
    log = folder / "logs" / "serve.log"
    if (command_line := plan.command_line) is None:
        return SpawnedChild("serve", ["-m", "orchestrator", *arguments], environment, log, lock)
    return ForkedChild("serve", lambda: command_line(arguments), environment, log)


def _await_objective(plan: Plan, client: redis.Redis, check: Callable[[], None], retry: Patience) -> None:
    """Waits until a slot has imported the objective, which is the real import in the place where it runs."""
    key = redis_keys.preload(_worker_name())
    while True:
        check()
        found = retry(lambda: client.blpop([key], timeout=POLL_SECONDS))
        if found:
            break
    result = decode_from_trainer(as_bytes(found[1]))
    if isinstance(result, Preloaded) and result.error:
        objective = plan.spec.trained
        problem = result.error.removeprefix(f"{result.objective}: ").removeprefix(f"{objective}: ")
        raise BadInput(f"{plan.source}: objective '{objective}'", problem)


def _await_notes(store: Store, name: str, view: View, check: Callable[[], None], retry: Patience) -> None:
    """Waits until the notifications about the end are delivered, or cannot be for now; says what went wrong."""
    from orchestrator.terminal.overview import delivery_failure

    def told() -> tuple[NotificationStatus, ...]:
        return retry(lambda: store.notification_statuses(name))

    while any(each.state == "owed" and (each.kind == "command" or each.tries < POSTS) for each in told()):
        check()
        time.sleep(POLL_SECONDS)
    for trouble in filter(None, map(delivery_failure, told())):
        view.say(trouble)


def _check_children(worker: ChildProcess, server: ChildProcess) -> None:
    for child in (worker, server):
        if not child.told and (code := child.ended()) is not None:
            if child is worker and code == BAD_INPUT:
                raise BadInput("worker", child.last_words())
            if code == BAD_INPUT:
                where, _, problem = child.last_words().removeprefix("orchestrator: ").partition(": ")
                raise BadInput(where, problem)
            problem = f"the {child.name} process ended with exit code {code}: {child.last_words()}"
            raise StudyFailed(f"{problem} (its log: {child.log})")
