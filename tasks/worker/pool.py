"""Celery's processes made ours: a keeper in every one of the pool, news of revoked tasks, an orderly end."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import celery
import redis
from billiard.process import current_process
from celery import signals

from tasks import keys
from tasks.app import STOP_SIGNAL
from tasks.codec import encode
from tasks.contract import Event, Revoked
from tasks.exposition import Exposition
from tasks.frames import Preloaded
from tasks.keeper.devices import device_name, slot_environment
from tasks.keeper.keeper import Keeper
from tasks.keeper.meters import Meters
from tasks.keeper.slot import Slot
from tasks.keeper.slots import Slots
from tasks.lifeline import die_with_parent
from tasks.signing import Purpose
from tasks.worker import remote_control
from tasks.worker.ground import Ground

PRELOAD_SECONDS = 600
"""How long it is kept how the import of a preloaded objective went."""


@dataclass(frozen=True)
class Shared:
    """What the worker's processes have in common: two pieces of memory, and the port that its metrics are shown on."""

    slots: Slots
    meters: Meters
    exposition: Exposition | None


@dataclass(frozen=True)
class Manner:
    """How its keepers work.

    Attributes:
        name: The worker's name, without its host's.
        hostname: The worker's name as Celery knows it.
        gpus: What the slots see, one after the other.
        data: The data folder.
        heartbeat: Seconds between signs of life.
        preload: Reference of the objective that trainers import when they start; empty for none.
    """

    name: str
    hostname: str
    gpus: tuple[str, ...]
    data: Path
    heartbeat: float
    preload: str


class Pool:
    """The pool's processes, by Celery's signals. Make one in the main process, before Celery makes the pool.

    Args:
        app: The application.
        keeper: Where the task finds the keeper of its process.
        ground: What the worker stands on.
        shared: What its processes have in common.
        manner: How its keepers work.
    """

    def __init__(
        self, app: celery.Celery, keeper: list[Keeper], ground: Ground, shared: Shared, manner: Manner
    ) -> None:
        self._app = app
        self._keeper = keeper
        self._ground = ground
        self._shared = shared
        self._manner = manner
        self._main_pid = os.getpid()
        self._mark = uuid.uuid4().hex
        # Of the main process alone: its loop must not wait for a new connection each time a task is revoked.
        self._client = ground.connect()

    def attach(self) -> None:
        """Connects the signals."""
        remote_control.take_over(self._report_revoked)
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
        if self._shared.exposition is not None:
            self._shared.exposition.leave_to_parent()
        slots, manner, ground = self._shared.slots, self._manner, self._ground
        index = int(current_process().index or 0) % slots.count
        environment = slot_environment(index, slots.count, manner.gpus, os.environ)
        slot = Slot(
            index=index,
            name=f"{manner.hostname}/{index}",
            mark=f"{self._mark}-{index}",
            device=device_name(environment, manner.gpus),
            environment=environment,
            data=manner.data,
            checkpoints=ground.checkpoints,
            artifacts=ground.artifacts,
            admission=ground.admission,
            queues=ground.queues,
            preload=manner.preload,
        )
        slots.set_busy(index, False)
        self._keeper[:] = [
            Keeper(
                slot,
                ground.connect,
                functools.partial(_tell_monitors, self._app, manner.hostname),
                heartbeat=manner.heartbeat,
                slots=slots,
                meter=self._shared.meters.of(index),
                on_preload=functools.partial(_tell_preload, ground, manner.name),
                keyring=ground.keyring,
            )
        ]
        self._keeper[0].start()

    def _end_process(self, **_: Any) -> None:
        if self._keeper:
            self._keeper[0].close()

    def _on_revoked(self, request: Any, terminated: bool, signum: Any, **_: Any) -> None:
        if isinstance(signum, str):
            # Nobody has revoked this one. Its pool process has died, and as a stop had once been sent to that process
            # for an earlier task, Celery takes its death for the end it was told to make of this one; only then is
            # the signal a text. The loss is found by the silence of the keeper.
            return
        self._report_revoked(request.id, running=bool(terminated))

    def _report_revoked(self, token: str, *, running: bool = False) -> None:
        event = encode(Event(token=token, runner="", seq=0, body=Revoked(running=running)))
        with contextlib.suppress(redis.RedisError):
            self._client.xadd(keys.EVENTS, {keys.EVENT_FIELD: self._ground.keyring.seal(Purpose.EVENT, event)})

    def _on_shutting_down(self, **_: Any) -> None:
        self._shared.slots.drain()
        for process in self._app.conf.pool_processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, getattr(signal, STOP_SIGNAL))

    def _on_ready(self, sender: Any, **_: Any) -> None:
        pool = sender.controller.pool if hasattr(sender, "controller") else sender.pool
        self._app.conf.pool_processes = lambda: [process.pid for process in pool._pool._pool]
        if self._shared.exposition is not None:
            self._shared.exposition.start()


def _tell_monitors(app: celery.Celery, worker: str, type: str, token: str, fields: Mapping[str, Any]) -> None:
    with app.events.default_dispatcher(hostname=worker) as dispatcher:
        dispatcher.send(type, uuid=token, **fields)


def _tell_preload(ground: Ground, worker: str, result: Preloaded) -> None:
    key = keys.preload(worker)
    pipe = ground.connect().pipeline()
    pipe.rpush(key, encode(result))
    pipe.expire(key, PRELOAD_SECONDS)
    pipe.execute()
