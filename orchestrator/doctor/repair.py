"""Applies repairs that are safe: without questions, one line of output each, idempotent.

Only the control plane that holds the writer's lease writes rows of studies: an active one is told to reconcile, and the
next one reconciles when it starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

import redis
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.common.data_folder import redis_url_of, storage_url_of
from orchestrator.common.errors import OrchestratorError
from orchestrator.common.formatting import count
from orchestrator.common.settings import Settings
from orchestrator.doctor.facts import Item
from orchestrator.doctor.finding import ClearQueue, Finding, FreeLease, MakeGroup, Reconcile, Repair, Ring, TakeOver
from orchestrator.doctor.queue_probe import clear
from orchestrator.messaging.command_client import open_client
from orchestrator.messaging.event_stream import EventStream, ring
from orchestrator.storage.database import Database
from orchestrator.storage.lease import WriterLease
from tasks import redis_keys
from tasks.app import connect
from tasks.signing import Keyring

ANSWER_SECONDS = 10.0
"""How long the control plane is given to reconcile a study."""

CLAIM = 500
"""Entries that are taken over at once."""


def apply_repairs(settings: Settings, findings: Iterable[Finding]) -> Iterator[str]:
    """Does what the findings offer, and yields a line for each thing it has changed, or could not.

    Several findings may offer the same; it is done once.
    """
    for repair in dict.fromkeys(finding.repair for finding in findings if finding.repair is not None):
        try:
            yield _apply(repair, settings)
        except (redis.RedisError, SQLAlchemyError, OrchestratorError) as error:
            # The others are mended all the same.
            yield f"could not {_intention(repair)}: {(str(error).splitlines() or [type(error).__name__])[0]}"


def _apply(repair: Repair, settings: Settings) -> str:
    match repair:
        case FreeLease():
            return _free_lease(settings, repair)
        case Reconcile():
            return _reconcile(settings, repair)
    url = redis_url_of(settings)
    if url is None:
        raise OrchestratorError("the server has gone")
    with closing(connect(url)) as client:
        match repair:
            case MakeGroup():
                EventStream(client).make_group()
                return f"made the group '{redis_keys.GROUP}' of {redis_keys.EVENTS}, which begins with the oldest entry"
            case TakeOver():
                return _take_over(client, repair.consumer)
            case ClearQueue():
                return _clear(client, repair, settings.keyring())
            case Ring():
                ring(client)
                return "rang the control plane"


def _intention(repair: Repair) -> str:
    match repair:
        case FreeLease():
            return f"give back the lease of {repair.holder}"
        case Reconcile():
            return f"have study {repair.study} reconciled"
        case MakeGroup():
            return f"make the group '{redis_keys.GROUP}'"
        case TakeOver():
            return f"take over from consumer {repair.consumer}"
        case ClearQueue():
            return f"clear queue {repair.queue}"
        case Ring():
            return "ring the control plane"


def _free_lease(settings: Settings, repair: FreeLease) -> str:
    with closing(Database(storage_url_of(settings))) as database:
        lease = WriterLease(database, settings.lease)
        if (held := lease.acquire()) is not None:
            return f"left the writer's lease alone: {held.holder} has taken it meanwhile"
        lease.release_unseen()
    return f"gave back the lease of {repair.holder}"


def _reconcile(settings: Settings, repair: Reconcile) -> str:
    with open_client(settings) as client:
        state = client.command("reconcile", repair.study, ANSWER_SECONDS)
    return f"had study {repair.study} reconciled by the control plane: it is {state}"


def _take_over(client: redis.Redis, consumer: str) -> str:
    taken, start = 0, "-"
    while ids := _pending_of(client, consumer, start):
        client.xclaim(redis_keys.EVENTS, redis_keys.GROUP, EventStream.CONSUMER, 0, ids, justid=True)
        taken, start = taken + len(ids), "(" + ids[-1].decode()
    client.xgroup_delconsumer(redis_keys.EVENTS, redis_keys.GROUP, consumer)
    return f"gave {count(taken, 'event')} of consumer {consumer} to the control plane, and dropped the consumer"


def _pending_of(client: redis.Redis, consumer: str, start: str) -> list[Any]:
    found: Any = client.xpending_range(redis_keys.EVENTS, redis_keys.GROUP, start, "+", CLAIM, consumername=consumer)
    return [each["message_id"] for each in found]


def _clear(client: redis.Redis, repair: ClearQueue, keyring: Keyring) -> str:
    def unwanted(item: Item) -> bool:
        return item.token in repair.tokens if repair.tokens else not item.token and not item.unsigned

    reason = "a task without an attempt" if repair.tokens else "no task"
    taken = clear(client, repair.queue, unwanted, f"{reason}, taken out by doctor", keyring)
    return f"took {count(taken, 'item')} out of queue {repair.queue} ({reason}), kept in {redis_keys.DEAD_LETTERS}"
