"""Checks that Redis admits a worker, and that worker and control plane speak the same protocol version."""

from __future__ import annotations

import ssl
from collections.abc import Iterable

import redis

from tasks import redis_keys
from tasks.codec import Malformed, decode_announcement
from tasks.contract import VERSION
from tasks.signing import SIGNING_KEY, Keyring, Purpose, Unsigned


def refusal(client: redis.Redis, queues: Iterable[str], keyring: Keyring, *, heed: bool = True) -> str:
    """Returns in one line why a worker cannot work, or nothing. A server that is away may come back, and is no reason.

    Args:
        client: Redis.
        queues: Queues of the worker.
        keyring: Keys of the worker.
        heed: Whether the announcement of the control plane counts; not where one is about to be started.
    """
    try:
        client.ping()
        for queue in queues:
            try:
                client.llen(queue)
            except redis.exceptions.NoPermissionError:
                return f"the Redis user may not take tasks from the queue '{queue}': admit it in the user's ACL"
        sealed = client.get(redis_keys.ANNOUNCEMENT) if heed else None
        return version_mismatch(sealed if isinstance(sealed, bytes) else None, keyring)
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError) as error:
        return f"Redis refuses this worker: {error}; check user and password in ORCHESTRATOR_REDIS_URL"
    except redis.ConnectionError as error:
        if isinstance(error.__context__, ssl.SSLCertVerificationError):
            return f"the certificate of Redis cannot be trusted: {error}; check ssl_ca_certs in ORCHESTRATOR_REDIS_URL"
        return ""
    except redis.RedisError:
        return ""


def version_mismatch(sealed: bytes | None, keyring: Keyring) -> str:
    """Returns in one line why a worker cannot serve the control plane that announced itself so, or nothing.

    Args:
        sealed: The announcement; ``None`` where there is none.
        keyring: Keys of the worker.
    """
    if sealed is None:
        return ""
    try:
        theirs = decode_announcement(keyring.open(Purpose.ANNOUNCEMENT, sealed)).version
    except Unsigned as error:
        return f"what the control plane announces is {error}; it and its workers need the same {SIGNING_KEY}"
    except Malformed:
        return ""
    if theirs == VERSION:
        return ""
    older = "this worker" if theirs > VERSION else "the control plane, and then start this worker again"
    return f"this worker speaks protocol version {VERSION}, the control plane {theirs}: upgrade {older}"
