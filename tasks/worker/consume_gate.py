"""The gate before the queue: whether a worker may take a task now."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from celery import bootsteps
from celery.worker import state
from celery.worker.consumer.tasks import Tasks

from tasks.keeper.handback import disk_trouble, process_trouble
from tasks.keeper.slot import SlotTable
from tasks.worker.prefetch import KeeperPool

log = logging.getLogger(__name__)

RETIRED: Final = 2
"""Exit code of a worker that has retired."""

IDLE_CHECK_SECONDS: Final = 0.5
HOST_CHECK_SECONDS: Final = 1.0


class ConsumeGate:
    """Lets the event loop take a task while a slot is free or about to be, its host has no trouble, and the worker is
    not retired.

    Celery counts a slot as free as soon as its task is revoked; a trainer that takes its time to leave would make
    the next task wait here while a slot elsewhere idles. What counts is what the pool's processes have been sent.

    A worker retires when it turns out that it cannot serve the control plane, which may be after an upgrade of the
    control plane. Unlike at a shutdown no trial is handed back: both sides understand what was begun.

    Args:
        slots: Counts the busy keepers, and holds the trouble that one has reported.
        folders: Folders that a trial's files are written to.
    """

    def __init__(self, slots: SlotTable, folders: Sequence[Path]) -> None:
        self._slots = slots
        self._folders = folders
        self._hub: Any = None
        self._pool: KeeperPool | None = None
        self._checking: threading.Thread | None = None
        self._retired = False
        self._exit_code = RETIRED

    @property
    def is_retired(self) -> bool:
        """Whether it takes no more tasks, and ends when the last trial has."""
        return self._retired

    def attach(self, hub: Any, pool: KeeperPool) -> None:
        """Sets the event loop and the pool of the worker."""
        self._hub = hub
        self._pool = pool

    def is_open(self) -> bool:
        """Whether a task may be taken. Never waits for a disk."""
        return not self._retired and self._pool is not None and self._pool.vacancies > 0 and self._host_is_well()

    @property
    def is_for_the_next(self) -> bool:
        """Whether no slot is free, and a task that is taken now is the next one of a slot that is about to be."""
        return self._pool is not None and not self._pool.has_free_process

    def retire(self, why: str, exit_code: int = RETIRED) -> None:
        """Takes no more tasks from here on, and ends with ``exit_code`` when the last trial has. Call it in the event
        loop."""
        if not self._retired:
            self._retired = True
            self._exit_code = exit_code
            log.error(
                "%s; it takes no more tasks, finishes what it trains, and ends", why, extra={"action": "retiring"}
            )
            self._hub.call_repeatedly(IDLE_CHECK_SECONDS, self._end_when_idle)

    def _end_when_idle(self) -> None:
        # A task that was taken just before may not have reached its keeper.
        if not self._slots.busy() and not state.reserved_requests:
            state.should_stop = self._exit_code

    def _host_is_well(self) -> bool:
        if not self._slots.trouble:
            return True
        if self._checking is None or not self._checking.is_alive():
            self._checking = threading.Thread(target=self._await_room, name="room", daemon=True)
            self._checking.start()
        return False

    def _await_room(self) -> None:
        pause = threading.Event()
        while trouble := disk_trouble(self._folders) or process_trouble():
            self._slots.trouble = trouble
            pause.wait(HOST_CHECK_SECONDS)
        log.info("there is room again: this worker takes trials", extra={"action": "room_again"})
        self._slots.trouble = ""


class GateStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Puts the gate before Celery's own decision to consume."""

    requires = (Tasks,)

    def start(self, consumer: Any) -> None:
        gate: ConsumeGate = consumer.app.conf.consume_gate
        gate.attach(consumer.hub, consumer.pool._pool)
        channel = consumer.task_consumer.channel
        may_consume = channel.qos.can_consume
        # kombu would leave the answer to a request that is under way unread, with a task in it, until the gate opens
        # again. It is read, and the task put back.
        channel.qos.can_consume = lambda: channel.is_asking or (gate.is_open() and may_consume())
