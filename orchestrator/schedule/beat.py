"""Celery beat over a folder of specs. Celery keeps the time and handles signals; ``Ticker`` finds what is due."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import celery.beat
from celery.apps.beat import Beat
from celery.signals import setup_logging
from sqlalchemy import select

from orchestrator.common.clock import Clock
from orchestrator.common.patience import Patience
from orchestrator.common.settings import Settings
from orchestrator.common.signals import insist_on_ending
from orchestrator.messaging.command_client import issuer_name
from orchestrator.messaging.event_stream import ring
from orchestrator.model.commands import Command
from orchestrator.model.planned_run import ScheduleProgress
from orchestrator.schedule.folder import Folder, Schedule
from orchestrator.schedule.ticker import LOOK_SECONDS, MOST_AHEAD, Ticker
from orchestrator.spec import Spec
from orchestrator.spec.carried_code import with_included
from orchestrator.storage.command_table import CommandTable
from orchestrator.storage.database import Database
from orchestrator.storage.schedule_store import read_known
from orchestrator.storage.sql_dialects import current_time
from tasks.app import connect, create_app
from tasks.objective_path import code_folders
from tasks.server_errors import Outages

log = logging.getLogger(__name__)


class SlotScheduler(celery.beat.Scheduler):  # type: ignore[misc]  # celery has no types
    """A scheduler that sends no tasks: at each tick it reads the folder and asks for what is due.

    Celery's own scheduler sends a task for each entry, and keeps in a local file when it did: it loses runs while the
    broker is away, and two beats send each run twice. Here a run is a row in the database, however many beats ask.
    """

    def __init__(self, tick: Callable[[], float], **options: Any) -> None:
        self._tick = tick
        super().__init__(**options)

    def setup_schedule(self) -> None:
        """Does nothing: there are no entries of Celery's kind."""

    def tick(self) -> float:
        """Returns the seconds until the next tick."""
        return self._tick()


class SqlBeatDatabase:
    """Implements ``BeatDatabase`` on the study database.

    Args:
        database: It has all tables.
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
    settings: Settings | None = None,
) -> None:
    """Runs a beat until SIGTERM or SIGINT.

    Args:
        redis_url, storage_url: The servers. Redis may be away: it only wakes the control plane.
        studies: The folder of the specs.
        clock: The clock.
        most_ahead: Seconds that the clock may differ from that of the database.
        settings: Bound the code that specs send, and sign it.

    Raises:
        BadInput: the folder or the database cannot be read, or the database is of another version.
    """
    folder = Folder(studies)
    folder.read()
    found = settings or Settings()

    def carry(schedule: Schedule) -> Spec:
        return with_included(schedule.spec, schedule.path.resolve().parent, code_folders(found.objective_path), found)

    database = Database(storage_url)
    # Before Celery handles signals: until then a signal ends this process at once.
    Patience(lambda: None, Outages(log))(database.prepare)
    client = connect(redis_url)
    ticker = Ticker(folder, SqlBeatDatabase(database), lambda: ring(client), clock or Clock(), most_ahead, carry)
    # Logging is set up already; Celery must not change it.
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


def _leave_logging(**kwargs: Any) -> None:
    del kwargs
