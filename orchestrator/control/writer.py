"""What only the writer may do, for a person: the active control plane does it, or this process where there is none."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import redis

from orchestrator.common.settings import Settings
from orchestrator.messaging.command_client import CommandClient
from orchestrator.storage.command_table import CommandTable
from orchestrator.storage.database import Database
from orchestrator.storage.lease import WriterLease

LOOK_SECONDS = 1.0

T = TypeVar("T")


class _LeaseIsFree(Exception):
    """The control plane that was asked is gone, and the writer's lease is ours now."""


def by_the_writer(
    settings: Settings,
    database: Database,
    client: redis.Redis | None,
    ask: Callable[[CommandClient, Callable[[], None]], T],
    act: Callable[[WriterLease], T],
) -> T:
    """Has the active control plane do something; where there is none, this process takes the writer's lease for it.

    Args:
        settings: How long a lease lasts.
        database: Prepared tables.
        client: Redis, if there is one.
        ask: Gives the control plane its command, and calls the function that it is given while it waits.
        act: Does it in this process, which holds the lease then.
    """
    lease = WriterLease(database, settings.lease)
    if lease.acquire() is not None:
        try:
            return ask(CommandClient(CommandTable(database), client), _LeaseWatch(lease))
        except _LeaseIsFree:
            pass
    try:
        return act(lease)
    finally:
        lease.release_unseen()


class _LeaseWatch:
    """Raises ``_LeaseIsFree`` once it has taken the lease; tries that every ``LOOK_SECONDS``."""

    def __init__(self, lease: WriterLease) -> None:
        self._lease = lease
        self._looked = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        if self._lease.acquire() is None:
            raise _LeaseIsFree
