"""Before a worker takes tasks: whether Redis lets it in, and whether it and the control plane understand each other."""

from __future__ import annotations

import ssl
from collections.abc import Iterable

import redis

from tasks import redis_keys
from tasks.codec import Malformed, decode_announcement
from tasks.contract import VERSION
from tasks.signing import SIGNING_KEY, Keyring, Purpose, Unsigned


def refusal(client: redis.Redis, queues: Iterable[str], keyring: Keyring, *, heed: bool = True) -> str:
    """Returns why a worker need not even start, in one line, or nothing.

    A server that is away may come back, and is no reason.

    Args:
        client: Redis.
        queues: Those that the worker is to serve.
        keyring: Its keys.
        heed: Whether what the control plane has announced counts; not where one is about to be started.
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
    """Returns why a worker cannot serve the control plane that announced this, in one line, or nothing.

    Args:
        sealed: What it announced; ``None`` where nothing was.
        keyring: The worker's keys.
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
