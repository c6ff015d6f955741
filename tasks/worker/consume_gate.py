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

from tasks.keeper.host_trouble import disk_trouble, process_trouble
from tasks.keeper.slot import SlotTable

log = logging.getLogger(__name__)

RETIRED: Final = 2
"""Exit code of a worker that has retired."""

IDLE_CHECK_SECONDS: Final = 0.5
HOST_CHECK_SECONDS: Final = 1.0


class ConsumeGate:
    """Lets the event loop take a task while a keeper is free, its host has no trouble, and the worker is not retired.

    Celery counts a slot as free as soon as its task is revoked; a trainer that takes its time to leave would make
    the next task wait here while a slot elsewhere idles.

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
        self._checking: threading.Thread | None = None
        self._retired = False

    def attach(self, hub: Any) -> None:
        """Sets the event loop of the worker."""
        self._hub = hub

    def is_open(self) -> bool:
        """Whether a task may be taken. Never waits for a disk."""
        return not self._retired and self._slots.busy() < self._slots.count and self._host_is_well()

    def retire(self, why: str) -> None:
        """Takes no more tasks from here on, and ends when the last trial has. Call it in the event loop."""
        if not self._retired:
            self._retired = True
            log.error(
                "%s; it takes no more tasks, finishes what it trains, and ends", why, extra={"action": "retiring"}
            )
            self._hub.call_repeatedly(IDLE_CHECK_SECONDS, self._end_when_idle)

    def _end_when_idle(self) -> None:
        # A task that was taken just before may not have reached its keeper.
        if not self._slots.busy() and not state.reserved_requests:
            state.should_stop = RETIRED

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
        gate.attach(consumer.hub)
        qos = consumer.task_consumer.channel.qos
        may_consume = qos.can_consume
        qos.can_consume = lambda: gate.is_open() and may_consume()
