"""Deletes a study for a person: by the active control plane, or with the writer's lease where there is none."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from contextlib import ExitStack, closing

import redis

from orchestrator.common.advice import how_to
from orchestrator.common.data_folder import redis_url_of, storage_url_of
from orchestrator.common.errors import BadInput
from orchestrator.common.formatting import count
from orchestrator.common.settings import Settings
from orchestrator.control.file_deleter import stores_of
from orchestrator.control.lease_renewal import Renewal
from orchestrator.control.report_requests import Reports
from orchestrator.control.study_deletion import StudyDeletion
from orchestrator.control.writer import by_the_writer
from orchestrator.messaging.event_stream import forget_study
from orchestrator.queries.readonly import open_study_reader
from orchestrator.queries.study_contents import StudyContents
from orchestrator.storage.database import Database
from orchestrator.storage.lease import WriterLease, renewal_seconds
from orchestrator.storage.optuna_tables import delete_study as delete_optunas
from orchestrator.storage.schedule_store import Calendar
from orchestrator.storage.schema_check import own_schema
from tasks.app import connect

ANSWER_SECONDS = 120.0
"""Time that an active control plane has to delete the files and the rows of one study."""

POLL_SECONDS = 0.02


def delete_study(settings: Settings, study: StudyContents, seconds: float = ANSWER_SECONDS) -> None:
    """Deletes a study: checkpoints, models and other files, its report and the logs of its trials on this host, its
    keys in Redis, and its rows. Interrupted half-way, the same call finishes it.

    An active control plane does it. Where there is none, this process takes the writer's lease for it.

    Args:
        settings: Where database, Redis and files are.
        study: What ``StudyReader.contents`` has returned.
        seconds: How long an active control plane may take.

    Raises:
        BadInput: it goes on, or its trials may still train; nothing was deleted.
        NoAnswer: the control plane took too long; the command is withdrawn.
    """
    url = storage_url_of(settings)
    with closing(Database(url)) as database, ExitStack() as stack:
        with database.read() as connection:
            prepared = own_schema(connection) is not None
        if not prepared:
            with open_study_reader(url) as reader:
                study_id = reader.study_id(study.name)
            with database.write() as connection:
                delete_optunas(connection, study_id)
            return
        redis_url = redis_url_of(settings)
        client = stack.enter_context(closing(connect(redis_url))) if redis_url else None
        by_the_writer(
            settings,
            database,
            client,
            lambda asked, check: asked.delete(study.name, study.uid, check, seconds),
            lambda lease: _delete_as_writer(settings, database, lease, client, study),
        )


def _delete_as_writer(
    settings: Settings, database: Database, lease: WriterLease, client: redis.Redis | None, study: StudyContents
) -> None:
    if settings.redis_url is not None and study.live:
        # In a data folder all processes of a search end with its `run`.
        problem = f"{count(study.live, 'attempt')} of it may still train, and no control plane is active"
        remedy = f"start 'orchestrator serve', then '{how_to('stop', study.name)}'"
        raise BadInput(f"study '{study.name}'", problem, remedy)
    with ExitStack() as stack:
        every = renewal_seconds(settings.heartbeat, settings.lease)
        renewal = stack.enter_context(Renewal(lease, database.url, every=every, limit=settings.loop_limit))
        checkpoints, artifacts = stores_of(settings)
        reports = Reports(settings.data_dir.absolute(), {})
        for each in (checkpoints, artifacts, reports):
            stack.callback(each.close)

        def forget(name: str, tokens: Iterable[str]) -> None:
            # Where Redis is away, what is left there expires.
            with contextlib.suppress(redis.RedisError):
                if client is not None:
                    forget_study(client, name, tokens)

        calendar = Calendar(database, lease)
        deletion = StudyDeletion(calendar, checkpoints, artifacts, reports, forget)
        while not deletion.delete_files(study.name):
            renewal.progress()
            time.sleep(POLL_SECONDS)
        calendar.delete_study(study.name, time.time())
