"""A keeper in each process of Celery's pool; revoked tasks and dead keepers are reported, the shutdown is in order."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import celery
import celery.apps.worker
import redis
from billiard.process import current_process
from celery import signals
from celery.concurrency import asynpool

from tasks import celery_task, redis_keys
from tasks.app import STOP_SIGNAL, TRAIN
from tasks.codec import encode
from tasks.contract import Body, Event, Lost, Revoked
from tasks.keeper.devices import device_name, slot_environment
from tasks.keeper.keeper import ENDING, Keeper
from tasks.keeper.next_task import NextTask
from tasks.keeper.process_cleanup import end_orphans
from tasks.keeper.slot import Slot, SlotTable
from tasks.keeper.trainer_process import describe_exit
from tasks.metrics_server import MetricsServer
from tasks.process_guards import adopt_orphans, die_with_parent
from tasks.signing import Purpose
from tasks.trainer_messages import Preloaded
from tasks.worker import remote_control
from tasks.worker.prefetch import KeeperPool
from tasks.worker.startup_checks import WorkerConfig

log = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0
"""Pause before a pool process whose keeper could not be set up ends, and Celery starts the next one."""

SWITCH_SECONDS = 0.0005
"""Longest time for which a thread of a keeper computes while another one could."""

KEEPER_THREADS = ("publisher", "replies", "artifacts", "uploads", "preload")
"""Names of the threads whose failure ends a keeper."""

PRELOAD_SECONDS = 600
"""Lifetime of the result of a preloaded objective's import."""


@dataclass(frozen=True)
class Shared:
    """The parts that the worker's processes share: the table of its slots, and the server of its metrics."""

    slots: SlotTable
    exposition: MetricsServer | None


@dataclass(frozen=True)
class KeeperOptions:
    """Options of a worker's keepers.

    Attributes:
        name: The worker's name, without its host's.
        hostname: The worker's name in Celery.
        gpus: GPUs of the slots, one entry after the other; each may be a group of them.
        data: The data folder.
        heartbeat: Seconds between two heartbeats.
        preload: Reference of the objective that trainers import when they start; empty for none.
    """

    name: str
    hostname: str
    gpus: tuple[str, ...]
    data: Path
    heartbeat: float
    preload: str


class Pool:
    """Hooks into Celery's pool. Make one in the main process, before Celery makes the pool.

    Args:
        app: The application.
        keeper: Takes the keeper of a pool process, where the task finds it.
        config: Configuration of the worker.
        shared: What its processes share.
        options: Options of its keepers.
    """

    def __init__(
        self, app: celery.Celery, keeper: list[Keeper], config: WorkerConfig, shared: Shared, options: KeeperOptions
    ) -> None:
        self._app = app
        self._keeper = keeper
        self._config = config
        self._shared = shared
        self._options = options
        self._main_pid = os.getpid()
        self._mark = uuid.uuid4().hex
        self._hub: Any = None
        # Of the main process alone: its loop must not wait for a new connection each time a task is revoked.
        self._client = config.connect()
        # Ignored from the start, as under nohup.
        self._ignored = {number for number in ENDING if signal.getsignal(number) is signal.SIG_IGN} - {signal.SIGINT}

    @property
    def folders(self) -> list[Path]:
        """Folders of this host's own that a trial's files are written to."""
        return self._slot(0).folders

    def take_signals(self, worker: Any) -> None:
        """Replaces Celery's signal handlers; its handler of SIGHUP would restart the worker."""
        for number in ENDING:
            if number not in self._ignored:
                celery.apps.worker.install_worker_term_handler(worker, sig=number.name)

    def attach(self) -> None:
        """Connects to Celery's signals."""
        remote_control.take_over(self._report_revoked)
        KeeperPool.Worker = _pool_process(self._begin_loop)
        self._app.conf.pool_processes = list
        for celery_signal, handler in (
            (signals.worker_process_init, self._begin_process),
            (signals.worker_process_shutdown, self._end_process),
            (signals.task_revoked, self._on_revoked),
            (signals.worker_shutting_down, self._on_shutting_down),
            (signals.worker_ready, self._on_ready),
        ):
            celery_signal.connect(handler, weak=False)

    def _begin_process(self, **_: Any) -> None:
        die_with_parent(self._main_pid)
        adopt_orphans()
        threading.excepthook = _end_with_thread
        # A verdict or the next trial waits for a thread that computes; by default for 5 ms.
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            self._make_keeper()
        except Exception:
            # Celery would ignore the error, and give tasks to a process without a keeper.
            log.critical("a slot could not be set up; it is tried again", exc_info=True, extra={"action": "no_keeper"})
            time.sleep(AGAIN_SECONDS)
            os._exit(os.EX_SOFTWARE)

    def _make_keeper(self) -> None:
        if self._shared.exposition is not None:
            self._shared.exposition.leave_to_parent()
        options, config = self._options, self._config
        index = self._index_of(current_process())
        self._shared.slots.set_busy(index, False)
        self._shared.slots.set_runner(index, None)
        self._keeper[:] = [
            Keeper(
                self._slot(index),
                config.connect,
                functools.partial(_tell_monitors, self._app, options.hostname),
                heartbeat=options.heartbeat,
                slots=self._shared.slots,
                on_preload=functools.partial(_tell_preload, config, options.name),
                keyring=config.keyring,
            )
        ]
        self._keeper[0].start()
        celery_task.take_over(self._app.tasks[TRAIN])

    def _begin_loop(self, next_task: NextTask) -> None:
        if self._keeper:
            self._keeper[0].next_task = next_task
            # Billiard sets handlers of its own after `worker_process_init`.
            self._keeper[0].take_signals(ignore=self._ignored)

    def _index_of(self, process: Any) -> int:
        return int(process.index or 0) % self._shared.slots.count

    def _slot(self, index: int) -> Slot:
        options, config = self._options, self._config
        environment = slot_environment(index, self._shared.slots.count, options.gpus, os.environ)
        return Slot(
            index=index,
            name=f"{options.hostname}/{index}",
            mark=f"{self._mark}-{index}",
            device=device_name(environment, options.gpus),
            environment=environment,
            data=options.data,
            checkpoints=config.checkpoints,
            artifacts=config.artifacts,
            allowlist=config.allowlist,
            queues=config.queues,
            preload=options.preload,
        )

    def _end_process(self, **_: Any) -> None:
        if self._keeper:
            self._keeper[0].close()

    def _on_revoked(self, request: Any, terminated: bool, signum: Any, **_: Any) -> None:
        if isinstance(signum, str):
            # The signal is a text only where the pool process has died and a stop had once been sent to it for an
            # earlier task: Celery then takes its death for the end of this task, which was not revoked.
            return
        self._report_revoked(request.id, running=bool(terminated))

    def _report_revoked(self, token: str, *, running: bool = False) -> None:
        self._report(token, "", Revoked(running=running))

    def _on_process_down(self, process: Any) -> None:
        """Reports the attempt of a dead keeper as lost, and ends the processes that its trainer has started."""
        index = self._index_of(process)
        runner = self._shared.slots.runner(index)
        self._shared.slots.set_runner(index, None)
        if runner is not None:
            self._report(*runner, Lost(how=describe_exit(process.exitcode or 0)))
        threading.Thread(target=end_orphans, name="orphans", daemon=True).start()

    def _report(self, token: str, runner: str, body: Body) -> None:
        event = encode(Event(token=token, runner=runner, seq=0, body=body))
        with contextlib.suppress(redis.RedisError):
            self._client.xadd(
                redis_keys.EVENTS, {redis_keys.EVENT_FIELD: self._config.keyring.seal(Purpose.EVENT, event)}
            )

    def _on_shutting_down(self, **_: Any) -> None:
        self._shared.slots.drain()
        # A signal does not end the wait of Celery's loop. This takes no lock, which the interrupted code may hold.
        if self._hub is not None and self._hub._waker is not None:
            self._hub._waker.wake()
        for process in self._app.conf.pool_processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, getattr(signal, STOP_SIGNAL))

    def _on_ready(self, sender: Any, **_: Any) -> None:
        self._hub = sender.hub
        pool = sender.controller.pool if hasattr(sender, "controller") else sender.pool
        self._app.conf.pool_processes = lambda: [process.pid for process in pool._pool._pool]
        on_process_down = pool._pool.on_process_down

        def tell(process: Any) -> None:
            on_process_down(process)
            self._on_process_down(process)

        pool._pool.on_process_down = tell
        if self._shared.exposition is not None:
            self._shared.exposition.start()


def _end_with_thread(arguments: threading.ExceptHookArgs) -> None:
    """Ends a keeper one of whose threads has failed: without its publisher it would train and report nothing."""
    name = "" if arguments.thread is None else arguments.thread.name
    log.critical("the thread '%s' of a keeper has failed", name, exc_info=arguments.exc_value)
    if name in KEEPER_THREADS:
        os._exit(os.EX_SOFTWARE)


def _pool_process(begin: Callable[[NextTask], None]) -> type[asynpool.Worker]:
    """Returns a class of pool processes that call ``begin`` before their first task."""

    class PoolProcess(asynpool.Worker):  # type: ignore[misc]
        def on_loop_start(self, pid: int) -> None:
            begin(self._next_task)
            super().on_loop_start(pid)

        def _make_recv_method(self, conn: Any) -> Callable[[float], tuple[bool, Any]]:
            def tell(kind: int, *arguments: int) -> None:
                self.outq.put((kind, (self.inqW_fd, *arguments)))

            next_task = self._next_task = NextTask(conn._reader.fileno(), conn.get, tell)
            return lambda _: (True, next_task.take())

        def _do_exit(self, pid: int, exitcode: int | None, exc: BaseException | None = None) -> None:
            """Ends the process; billiard's waits a second for a signal of the main process before it does."""
            if exitcode is None:
                exitcode = os.EX_SOFTWARE if exc else os.EX_OK
            try:
                self.on_exit(pid, exitcode)
            finally:
                os._exit(exitcode)

    return PoolProcess


def _tell_monitors(app: celery.Celery, worker: str, type: str, token: str, fields: Mapping[str, Any]) -> None:
    with app.events.default_dispatcher(hostname=worker) as dispatcher:
        dispatcher.send(type, uuid=token, **fields)


def _tell_preload(config: WorkerConfig, worker: str, result: Preloaded) -> None:
    key = redis_keys.preload(worker)
    pipe = config.connect().pipeline()
    pipe.rpush(key, encode(result))
    pipe.expire(key, PRELOAD_SECONDS)
    pipe.execute()
