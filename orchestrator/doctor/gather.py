"""Gathers the facts of an installation. The database is read twice: what differs was in motion, and is no fault."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.common.data_folder import redis_url_of
from orchestrator.common.file_lock import is_locked
from orchestrator.common.settings import Settings
from orchestrator.common.urls import redact
from orchestrator.doctor.celery_probe import query_workers
from orchestrator.doctor.facts import Facts, Redis, Setup, Workers
from orchestrator.doctor.heartbeat_listener import Listener
from orchestrator.doctor.host_probe import read_installation
from orchestrator.doctor.queue_probe import read_queue
from orchestrator.doctor.redis_probe import (
    WrongKeys,
    read_announcement,
    read_dead_letters,
    read_server,
    read_stream,
    read_writers_clock,
    without_confirmation,
)
from orchestrator.doctor.table_facts import TableFacts, steady
from orchestrator.model.lifecycle import TRAINING
from orchestrator.storage.lease import renewal_seconds
from tasks import redis_keys
from tasks.app import connect
from tasks.signing import Keyring

if TYPE_CHECKING:
    import redis as redis_client

BEATS = 2.5
"""Heartbeats for which the stream is followed, unless every slot was heard before. Each keeper sends two in that time:
one may be missed while this process does not read."""

LONGEST = 10.0
"""Upper limit for that, in seconds; with longer heartbeats, silence means nothing."""

QUEUE = "trials"
"""The default queue, which is always looked into."""


def gather(settings: Settings) -> Facts:
    """Returns the facts of everything that can be reached. Changes nothing."""
    from orchestrator.common.data_folder import storage_url_of
    from orchestrator.doctor.database_probe import file_of, read_database
    from orchestrator.doctor.write_access import free_on_other_disk

    storage_url, redis_url = storage_url_of(settings), redis_url_of(settings)
    database, begun = read_database(storage_url), time.monotonic()
    setup, redis, workers = _around_redis(
        redis_url, database.books or TableFacts(), setup_of(settings), settings.keyring()
    )
    if redis.looked_at and database.books is not None:
        tokens = {sign.token for sign in workers.signs} | {item.token for queue in redis.queues for item in queue.items}
        first, passed = database.books, time.monotonic() - begun
        patience = BEATS * setup.renewal
        enough = min(patience, LONGEST)
        if first.active and first.writer is not None and first.writer.doubtful(setup.lease, patience):
            time.sleep(max(0.0, enough - passed))
            passed = max(enough, passed)
        database = read_database(storage_url, tokens - {""})
        if database.books is not None:
            database = replace(database, books=steady(first, database.books, passed, setup.lease, patience))
    if (path := file_of(storage_url)) is not None:
        database = replace(database, disk_free=free_on_other_disk(path, settings.data_dir))
    return Facts(setup, read_installation(settings.data_dir), redis, database, workers)


def setup_of(settings: Settings) -> Setup:
    """Returns what is configured here."""
    return Setup(
        data_dir=str(settings.data_dir),
        redis=settings.redis_url is not None,
        storage=settings.storage_url is not None,
        running=is_locked(settings.data_dir),
        heartbeat=settings.heartbeat,
        lease=settings.lease,
        renewal=renewal_seconds(settings.heartbeat, settings.lease),
    )


def as_announced(setup: Setup, client: redis_client.Redis, books: TableFacts, keyring: Keyring) -> Setup:
    """Returns the setup with the settings of the control plane that writes, where it has announced them."""
    said = read_announcement(client, keyring)
    if said is None or books.writer is None or said.term != books.writer.term or not 0 < said.heartbeat < said.lease:
        return setup
    renewal = renewal_seconds(said.heartbeat, said.lease)
    return replace(setup, heartbeat=said.heartbeat, lease=said.lease, renewal=renewal)


def _around_redis(url: str | None, books: TableFacts, setup: Setup, keyring: Keyring) -> tuple[Setup, Redis, Workers]:
    """Returns the facts from Redis; a server that goes away meanwhile counts as unreachable."""
    if url is None:
        return setup, Redis(), Workers()
    import redis

    client = connect(url)
    try:
        server = read_server(client, redact(url))
        if server.error:
            return setup, server, Workers()
        setup = as_announced(setup, client, books, keyring)
        workers = listen(url, books, setup, keyring)
        return setup, _fill(client, server, workers, books, keyring), workers
    except redis.RedisError as error:
        return setup, Redis(redact(url), error=str(error)), Workers()
    finally:
        client.close()


def listen(url: str, books: TableFacts, setup: Setup, keyring: Keyring) -> Workers:
    """Collects heartbeats until all known slots were heard, or the time is up; queries the workers meanwhile."""
    training = {(each.token, each.runner) for each in books.attempts if each.state in TRAINING}
    with closing(connect(url)) as client, ThreadPoolExecutor(1) as beside:
        listener = Listener(client, keyring)
        asked = beside.submit(query_workers, url)

        def satisfied() -> bool:
            slots = sum(each.slots or 0 for each in asked.result()[0]) if asked.done() else 0
            heard = {(sign.token, sign.runner) for sign in listener.signs}
            return bool(slots) and len({sign.slot for sign in listener.signs}) >= slots and training <= heard

        listened = listener.listen(min(BEATS * setup.heartbeat, LONGEST), satisfied)
        answered, error = asked.result()
    return Workers(
        error=error or listener.error,
        unsigned=listener.unsigned,
        listened=listened,
        enough=BEATS * setup.heartbeat <= LONGEST and not listener.error and not listener.unsigned,
        workers=answered,
        signs=tuple(sorted(listener.signs, key=lambda sign: (sign.slot, sign.token, sign.runner))),
        heard={slot: time.monotonic() - at for slot, at in listener.at.items()},
    )


def _fill(client: redis_client.Redis, server: Redis, workers: Workers, books: TableFacts, keyring: Keyring) -> Redis:
    names = {QUEUE, *workers.queues, *(study.queue for study in books.studies)}
    training = [each.token for each in books.attempts if each.state in TRAINING]
    if books.active and server.clock is not None:
        studies = [each.name for each in books.waiting]
        server = replace(server, writers_clock=read_writers_clock(client, studies, server.clock))
    wrong = WrongKeys()
    with wrong.passing_over(redis_keys.EVENTS, "stream"):
        server = replace(server, stream=read_stream(client))
    with wrong.passing_over(redis_keys.DEAD_LETTERS, "stream"):
        dead, newest = read_dead_letters(client)
        server = replace(server, dead=dead, newest_dead=newest)
    return replace(
        server,
        queues=tuple(read_queue(client, name, keyring, wrong) for name in sorted(names)),
        unconfirmed=without_confirmation(client, training),
        wrong_keys=tuple(wrong.found),
    )
