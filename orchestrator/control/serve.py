"""The control plane as a process: waits for the writer's lease, then runs the loop until it is told to stop."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import optuna
import redis

from orchestrator.common.clock import Clock
from orchestrator.common.errors import NotTheWriter
from orchestrator.common.patience import AWAY_SECONDS, Patience
from orchestrator.common.settings import Settings, bad_settings_are_bad_input
from orchestrator.common.signals import StopRequest, handled_endings
from orchestrator.control.assembly import Options, make_controller
from orchestrator.control.file_deleter import stores_of
from orchestrator.control.journal import Journal
from orchestrator.control.lease_renewal import Renewal
from orchestrator.control.ports import Hooks, Phase, PhaseHook, Ports, RoundHook, no_hook
from orchestrator.control.process_template import ProcessTemplate
from orchestrator.control.replica_processes import ReplicaProcesses
from orchestrator.control.report_requests import Reports
from orchestrator.control.watched_process import Limits
from orchestrator.messaging.dispatch import Dispatcher
from orchestrator.messaging.event_stream import EventStream, introduce, ring, wake
from orchestrator.messaging.redis_check import check_redis
from orchestrator.notify.notifier import Notifier
from orchestrator.notify.policy import Policy
from orchestrator.storage.database import Database, process_name
from orchestrator.storage.lease import WriterLease, renewal_seconds
from orchestrator.storage.schedule_store import Calendar
from orchestrator.storage.store import Store
from tasks.app import connect
from tasks.contract import Announcement
from tasks.metrics_endpoint import Endpoint
from tasks.server_errors import Outage, Outages, unavailable

log = logging.getLogger(__name__)

STANDBY_SECONDS = 1.0


def serve(
    settings: Settings,
    redis_url: str,
    storage_url: str,
    *,
    only: str = "",
    run: int = 0,
    record: Path | None = None,
    on_phase: PhaseHook = no_hook,
    metrics: Endpoint | None = None,
    policy: Policy | None = None,
    clock: Clock | None = None,
) -> None:
    """Runs the control plane until SIGTERM or SIGINT.

    Args:
        settings: Lease and heartbeat.
        redis_url, storage_url: The servers.
        only: Look after this study alone.
        run: Process id of the `run` that this belongs to; 0 for none.
        record: File that takes a recording of everything the core is fed.
        on_phase: Called at each phase of a round.
        metrics: Where metrics are shown.
        policy: The notifications that specs may ask for.
        clock: Time.

    A server that does not do what it is asked at the moment is waited for, at the start too.

    Raises:
        BadInput: a server cannot be reached or refuses this process, the port of the metrics cannot be had, or the
            database is of another version.
    """
    # Its lines go where ours go.
    optuna.logging.disable_default_handler()
    optuna.logging.enable_propagation()
    client = connect(redis_url)
    database = Database(storage_url)
    outages = Outages(log, "training goes on")

    def meet_redis() -> None:
        check_redis(client, redis_url)
        introduce(client, process_name())

    def meet_database() -> None:
        database.prepare()
        database.check_writable()

    def check_stop() -> None:
        if stop.is_set():
            raise _Stopped

    # Before there is a second thread: what is forked has but the one that forks.
    template = ProcessTemplate()
    with closing(template), _stop_signals(connect(redis_url)) as stop:
        for step in (meet_redis, meet_database):
            try:
                Patience(check_stop, outages, sleep=stop.wait)(step)
            except _Stopped:
                database.close()
                return
        leader = _Leader(
            settings,
            redis_url,
            client,
            database,
            outages,
            stop,
            only,
            run,
            record,
            policy or Policy(),
            clock or Clock(),
            template,
        )
        with _shown(metrics, redis_url) as observed:
            while not stop.is_set():
                lease = WriterLease(database, settings.lease)
                try:
                    if _await_lease(lease, stop, outages.database):
                        every = renewal_seconds(settings.heartbeat, settings.lease)
                        renewal = Renewal(lease, storage_url, every=every, limit=settings.loop_limit)
                        with observed() as on_round, renewal:
                            leader.lead(lease, Hooks(_with_progress(on_phase, renewal), renewal.progress, on_round))
                except NotTheWriter as error:
                    log.warning("%s; standing by", error, extra={"action": "deposed"})
                except Exception as error:
                    # What is in memory may not be what was committed: it is all read again.
                    if (found := unavailable(error)) is None:
                        raise
                    outages.begin(found)
                    stop.wait(AWAY_SECONDS)
    database.close()


class _Stopped(Exception):
    """This process was told to stop before its servers answered."""


def _await_lease(lease: WriterLease, stop: StopRequest, outage: Outage) -> bool:
    said = False
    while not stop.is_set():
        held = lease.acquire()
        outage.end()
        if held is None:
            log.info("writing in term %d", lease.term, extra={"action": "leading"})
            return True
        if not said:
            log.info("standing by: %s is the active control plane", held.holder, extra={"action": "standby"})
            said = True
        stop.wait(min(held.seconds, STANDBY_SECONDS))
    return False


def _with_progress(on_phase: PhaseHook, renewal: Renewal) -> PhaseHook:
    def passing(phase: Phase) -> None:
        renewal.progress()
        on_phase(phase)

    return passing


@dataclass(frozen=True)
class _Leader:
    """The servers and options of the loop, for each time that this process becomes the writer."""

    settings: Settings
    redis_url: str
    client: redis.Redis
    database: Database
    outages: Outages
    stop: StopRequest
    only: str
    run: int
    record: Path | None
    policy: Policy
    clock: Clock
    template: ProcessTemplate

    def lead(self, lease: WriterLease, hooks: Hooks) -> None:
        """Runs the loop until this process is told to stop."""
        settings, client, keyring = self.settings, self.client, self.settings.keyring()
        data_dir = settings.data_dir.absolute()
        # As configured here, whether by an argument or the environment.
        storage = {"ORCHESTRATOR_STORAGE_URL": self.database.url, "ORCHESTRATOR_DATA_DIR": str(data_dir)}
        store = Store(self.database, lease)
        dispatcher = Dispatcher(self.redis_url, client, keyring)
        notifier = Notifier(self.policy, os.environ)
        limits = Limits(answer_seconds=settings.sampler_limit)
        replicas = ReplicaProcesses(lambda: wake(client), limits, settings.samplers, self.template.start)
        ports = Ports(
            store,
            EventStream(
                client,
                keyring,
                Announcement(term=lease.term, heartbeat=settings.heartbeat, lease=settings.lease),
            ),
            dispatcher,
            *stores_of(settings),
            Calendar(self.database, lease),
            Reports(data_dir, os.environ | storage),
            notifier,
            replicas,
        )
        record = Journal(self.record) if self.record else None
        options = Options(settings.lease, settings.heartbeat, self.only, self.run, keyring, record)
        controller = make_controller(ports, options, hooks, self.clock, self.outages)
        try:
            replicas.warm_up()
            controller.start()
            while not self.stop.is_set():
                controller.run_once()
            notifier.close()
            # The last events of the workers, and the last states of notifications, are still recorded.
            while controller.run_once(wait=False).events:
                pass
            lease.release()
        finally:
            controller.close()
            dispatcher.close()
            store.close()


@contextmanager
def _shown(endpoint: Endpoint | None, redis_url: str) -> Iterator[Callable[[], AbstractContextManager[RoundHook]]]:
    """Shows metrics, if that is wanted. Yields what gives a loop the hook of its rounds, for as long as it leads."""
    if endpoint is None:
        yield lambda: nullcontext(no_hook)
        return
    # Imported where it is needed.
    from orchestrator.control.metrics import ControlMetrics
    from tasks.metrics_server import MetricsServer

    metrics = ControlMetrics(connect(redis_url))
    with bad_settings_are_bad_input():
        exposition = MetricsServer(endpoint, metrics.registry)
    exposition.start()
    try:
        yield metrics.leading
    finally:
        exposition.close()


@contextmanager
def _stop_signals(bell: redis.Redis) -> Iterator[StopRequest]:
    """Yields a request that SIGTERM, SIGINT and SIGHUP make; the bell ends the loop's wait on the stream."""

    def on_signal(signum: signal.Signals, stop: StopRequest) -> None:
        del signum
        stop.set()
        with suppress(redis.RedisError):
            ring(bell)

    with handled_endings(on_signal) as stop:
        yield stop
