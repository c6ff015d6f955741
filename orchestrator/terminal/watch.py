"""Following a study that another process runs: the notices of its control plane, as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, suppress
from typing import TYPE_CHECKING

import msgspec
import redis

from orchestrator.common.advice import how_to
from orchestrator.common.data_folder import redis_url_of
from orchestrator.common.errors import BadInput, NotReached, OrchestratorError
from orchestrator.common.file_lock import has_run
from orchestrator.common.patience import Patient, at_once
from orchestrator.common.settings import Settings
from orchestrator.common.urls import redact
from orchestrator.model.progress_events import Notice, Progress, ProgressChange, Sent, TrialEnded, decode
from orchestrator.model.state_words import study_word
from orchestrator.model.study_states import ENDED
from orchestrator.terminal.views import View
from tasks import redis_keys
from tasks.app import as_bytes, connect, stream_entries

if TYPE_CHECKING:
    from orchestrator.queries.study_reader import StudyReader

WAIT_MILLISECONDS = 250
SILENT_SECONDS = 3.0
"""Time without a notice after which the database is asked whether the study has ended."""

RECENT = 10
"""Trials that had ended before which are shown to people first."""


def watch(
    settings: Settings,
    study: str,
    open_reader: Callable[[], AbstractContextManager[StudyReader]],
    view: View,
    recent: int = RECENT,
    patient: Patient = at_once,
) -> None:
    """Shows the state of a study, and what happens to it until it has ended; arguments and errors as of ``events``."""
    for notice in events(settings, study, open_reader, recent, patient=patient):
        view.show(notice, time.monotonic())


def events(
    settings: Settings,
    study: str,
    open_reader: Callable[[], AbstractContextManager[StudyReader]],
    recent: int = 0,
    check: Callable[[], None] = lambda: None,
    patient: Patient = at_once,
) -> Iterator[Notice]:
    """Yields the state of a study, and what happens to it until it has ended, or the `run` that works on it has.

    Args:
        settings: Where Redis is, or the data folder that a `run` works in.
        study: Name of the study.
        open_reader: Opens the database.
        recent: Number of trials that had ended before which are yielded first.
        check: Called between notices; what it raises ends the following.
        patient: Asks the servers, and may retry.

    Raises:
        BadInput: there is no such study, or no control plane that sends notices about it.
    """

    def current() -> Progress:
        with open_reader() as reader:
            return reader.overview(study).progress

    with ExitStack() as stack:
        url = redis_url_of(settings)
        client = None if url is None else stack.enter_context(closing(connect(url)))

        def begin() -> tuple[bytes, list[TrialEnded], Progress]:
            with open_reader() as reader:
                reader.spec(study)  # raises for a study that only Optuna has run: it has no notices
                since = b"0-0"
                if client is not None and reader.overview(study).progress.state not in ENDED:
                    try:
                        since = newest(client, study)
                    except redis.RedisError as error:
                        problem, remedy = f"Redis cannot be reached: {error}", "check ORCHESTRATOR_REDIS_URL"
                        raise NotReached(redact(str(url)), problem, remedy) from None
                # Read behind that place, so that no change between the two is missed.
                return since, list(reader.ended(study, recent)), reader.overview(study, rungs=True).progress

        since, ended, progress = patient(begin)
        yield from ended
        yield progress
        if progress.state in ENDED:
            return
        if client is None or not (settings.redis_url or has_run(settings.data_dir, study)):
            problem = f"is {study_word(progress.state)}, but no `run` in {settings.data_dir} works on it"
            remedy = f"'{how_to('resume', study)}' runs it here; a fleet's needs ORCHESTRATOR_REDIS_URL"
            raise BadInput(f"study '{study}'", problem, remedy)

        def is_over() -> bool:
            # The server of a `run` ends with it.
            return patient(current).state in ENDED or redis_url_of(settings) is None

        yield from _notices(client, study, since, check, is_over, progress)
        yield patient(current)


def show_current(open_reader: Callable[[], AbstractContextManager[StudyReader]], study: str, view: View) -> None:
    """Shows the state of a study as it is in the database, once; nothing where that cannot be read."""
    with suppress(OrchestratorError), open_reader() as reader:
        view.show(reader.overview(study, rungs=True).progress, time.monotonic())


def newest(client: redis.Redis, study: str) -> bytes:
    """Returns the id of the newest notice of a study: a place to follow from."""
    try:
        entries = client.xrevrange(redis_keys.notices(study), count=1)
    except redis.ResponseError:
        # The key holds another type, so there are no notices.
        return b"0-0"
    return as_bytes(entries[0][0]) if entries else b"0-0"


def follow(
    client: redis.Redis,
    study: str,
    since: bytes,
    view: View,
    check: Callable[[], None],
    has_ended: Callable[[], bool],
) -> None:
    """Shows what happens to ``study`` until it has ended.

    Args:
        client: Redis.
        study: Name of the study.
        since: The place to follow from, of ``newest``.
        view: Takes the notices.
        check: Called between notices; what it raises ends the following.
        has_ended: Asks the database, since notices may be lost with the server.
    """
    for notice in _notices(client, study, since, check, has_ended):
        view.show(notice, time.monotonic())


def _notices(
    client: redis.Redis,
    study: str,
    since: bytes,
    check: Callable[[], None],
    has_ended: Callable[[], bool],
    progress: Progress | None = None,
) -> Iterator[Notice]:
    """Yields what happens to ``study`` until it has ended.

    Args:
        client, study, since, check, has_ended: As of ``follow``.
        progress: Where the study stood at that place or later.
    """
    heard = time.monotonic()
    while True:
        check()
        entries = _read(client, study, since)
        for entry, fields in entries:
            since = entry
            heard = time.monotonic()
            notice = _notice(fields)
            if isinstance(notice, ProgressChange):
                # Without the progress before it, the next whole one is waited for.
                notice = None if progress is None else notice.applied_to(progress)
            if notice is not None:
                yield notice
            if isinstance(notice, Progress):
                progress = notice
                if notice.state in ENDED:
                    return
        if time.monotonic() - heard > SILENT_SECONDS:
            heard = time.monotonic()
            if has_ended():
                return


def _read(client: redis.Redis, study: str, since: bytes) -> list[tuple[bytes, dict[bytes, bytes]]]:
    try:
        return stream_entries(client.xread({redis_keys.notices(study): since}, count=200, block=WAIT_MILLISECONDS))
    except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError):
        time.sleep(0.2)
        return []


def _notice(fields: dict[bytes, bytes]) -> Sent | None:
    try:
        return decode(fields.get(b"n", b""))
    except msgspec.DecodeError:
        return None
