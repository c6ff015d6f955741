"""Celery beat over a folder of specs. Celery keeps the time and handles signals; what is due is ours to say."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import celery.beat
from celery.apps.beat import Beat
from celery.signals import setup_logging
from sqlalchemy import select

from orchestrator.common.clock import Clock
from orchestrator.common.server_wait import await_servers
from orchestrator.common.signals import insist_on_ending
from orchestrator.messaging.command_client import issuer_name
from orchestrator.messaging.event_stream import ring
from orchestrator.model.commands import Command
from orchestrator.model.planned_run import ScheduleProgress
from orchestrator.schedule.folder import Folder
from orchestrator.schedule.ticker import LOOK_SECONDS, MOST_AHEAD, Ticker
from orchestrator.storage.command_table import CommandTable
from orchestrator.storage.database import Database
from orchestrator.storage.schedule_store import read_known
from orchestrator.storage.sql_dialects import current_time
from tasks.app import connect, create_app
from tasks.server_errors import Outages

log = logging.getLogger(__name__)


class SlotScheduler(celery.beat.Scheduler):  # type: ignore[misc]  # celery has no types
    """A scheduler that sends no tasks: each tick is a look at the folder and at what is due.

    Celery's own would send what its entries say, and remembers in a file of this host when it did; with the broker away
    a run is gone, with two of them it is sent twice. Here a run is a row, whoever asks for it.
    """

    def __init__(self, tick: Callable[[], float], **options: Any) -> None:
        self._tick = tick
        super().__init__(**options)

    def setup_schedule(self) -> None:
        """There are no entries of Celery's kind."""

    def tick(self) -> float:
        """Returns after how many seconds it wants to be called again."""
        return self._tick()


class DatabaseDesk:
    """The database, as a beat uses it.

    Args:
        database: Prepared tables.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._orders = CommandTable(database)

    def known(self, names: list[str]) -> tuple[float, dict[str, ScheduleProgress]]:
        with self._database.read() as connection:
            now = float(connection.scalar(select(current_time(self._database.dialect))) or 0.0)
            return now, read_known(connection, names)

    def issue(self, commands: list[Command]) -> None:
        self._orders.issue_all(issuer_name(), commands)


def beat(
    redis_url: str,
    storage_url: str,
    studies: Path,
    clock: Clock | None = None,
    most_ahead: float = MOST_AHEAD,
) -> None:
    """Runs a beat until SIGTERM or SIGINT.

    Args:
        redis_url, storage_url: The servers. Redis need not be there: it only carries the ring.
        studies: The folder of the specs.
        clock: Time.
        most_ahead: By how many seconds the clock may differ from the database's.

    Raises:
        BadInput: the folder or the database cannot be read, or the database is of another version.
    """
    folder = Folder(studies)
    folder.look()
    database = Database(storage_url)
    # Before Celery takes over the signals: one that is told to end ends at once.
    await_servers(database.prepare, Outages(log), _pause)
    client = connect(redis_url)
    ticker = Ticker(folder, DatabaseDesk(database), lambda: ring(client), clock or Clock(), most_ahead)
    # Logging is set up already, and Celery is to leave it as it is.
    setup_logging.connect(_leave_logging)
    insist_on_ending()
    log.info("looking at the specs in %s", studies, extra={"action": "beating"})
    try:
        Beat(
            app=create_app(redis_url),
            scheduler_cls=functools.partial(SlotScheduler, ticker.tick),
            max_interval=LOOK_SECONDS,
            loglevel="INFO",
            quiet=True,
        ).run()
    finally:
        database.close()


def _pause(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _leave_logging(**kwargs: Any) -> None:
    del kwargs
