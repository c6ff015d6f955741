"""Mending what is safe to mend. It asks nothing, says line by line what it did, and has nothing to do a second time.

Study rows are written by nobody but the control plane that holds the writer's lease: where one is active it is told to
reconcile, and where none is, the next one does so when it starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import redis
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.common.data_folder import redis_url_of, storage_url_of
from orchestrator.common.errors import OrchestratorError
from orchestrator.common.formatting import count
from orchestrator.common.settings import Settings
from orchestrator.doctor.facts import Item
from orchestrator.doctor.finding import ClearQueue, Finding, FreeLease, MakeGroup, Mend, Reconcile, Ring, TakeOver
from orchestrator.doctor.queue_probe import clear
from orchestrator.messaging.command_client import Issuer
from orchestrator.messaging.event_stream import EventStream, ring
from orchestrator.storage.command_table import Orders
from orchestrator.storage.database import Database
from orchestrator.storage.lease import WriterLease
from tasks import redis_keys
from tasks.app import connect
from tasks.signing import Keyring

ANSWER_SECONDS = 10.0
"""How long the control plane is given to reconcile a study."""

CLAIM = 500
"""Entries that are taken over at once."""


def repair(settings: Settings, findings: Iterable[Finding]) -> Iterator[str]:
    """Does what the findings offer, and yields a line for each thing it has changed, or could not.

    Several findings may offer the same; it is done once.
    """
    for mend in dict.fromkeys(finding.mend for finding in findings if finding.mend is not None):
        try:
            yield _mend(mend, settings)
        except (redis.RedisError, SQLAlchemyError, OrchestratorError) as error:
            # The others are mended all the same.
            yield f"could not {_intention(mend)}: {(str(error).splitlines() or [type(error).__name__])[0]}"


def _mend(mend: Mend, settings: Settings) -> str:
    match mend:
        case FreeLease():
            return _free_lease(settings, mend)
        case Reconcile():
            return _reconcile(settings, mend)
    client = _client(settings)
    try:
        match mend:
            case MakeGroup():
                EventStream(client).make_group()
                return f"made the group '{redis_keys.GROUP}' of {redis_keys.EVENTS}, which begins with the oldest entry"
            case TakeOver():
                return _take_over(client, mend.consumer)
            case ClearQueue():
                return _clear(client, mend, settings.keyring())
            case Ring():
                ring(client)
                return "rang the control plane"
    finally:
        client.close()


def _intention(mend: Mend) -> str:
    match mend:
        case FreeLease():
            return f"give back the lease of {mend.holder}"
        case Reconcile():
            return f"have study {mend.study} reconciled"
        case MakeGroup():
            return f"make the group '{redis_keys.GROUP}'"
        case TakeOver():
            return f"take over from consumer {mend.consumer}"
        case ClearQueue():
            return f"clear queue {mend.queue}"
        case Ring():
            return "ring the control plane"


def _client(settings: Settings) -> redis.Redis:
    url = redis_url_of(settings)
    if url is None:
        raise OrchestratorError("the server has gone")
    return connect(url)


def _free_lease(settings: Settings, mend: FreeLease) -> str:
    database = Database(storage_url_of(settings))
    try:
        lease = WriterLease(database, settings.lease)
        if (held := lease.acquire()) is not None:
            return f"left the writer's lease alone: {held.holder} has taken it meanwhile"
        lease.release()
    finally:
        database.close()
    return f"gave back the lease of {mend.holder}"


def _reconcile(settings: Settings, mend: Reconcile) -> str:
    url = redis_url_of(settings)
    client = None if url is None else connect(url)
    database = Database(storage_url_of(settings))
    try:
        state = Issuer(Orders(database), client).command("reconcile", mend.study, ANSWER_SECONDS)
    finally:
        database.close()
        if client is not None:
            client.close()
    return f"had study {mend.study} reconciled by the control plane: it is {state}"


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


def _clear(client: redis.Redis, mend: ClearQueue, keyring: Keyring) -> str:
    def unwanted(item: Item) -> bool:
        return item.token in mend.tokens if mend.tokens else not item.token

    reason = "a task that nobody waits for" if mend.tokens else "no task"
    taken = clear(client, mend.queue, unwanted, f"{reason}, taken out by doctor", keyring)
    return f"took {count(taken, 'item')} out of queue {mend.queue} ({reason}), kept in {redis_keys.DEAD_LETTERS}"
