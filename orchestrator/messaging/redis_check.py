"""The first contact with Redis."""

from __future__ import annotations

import ssl

import redis

from orchestrator.common.errors import BadInput, NotReached
from orchestrator.common.urls import redact
from tasks.server_errors import Contact, unavailable


def check_redis(client: redis.Redis, url: str) -> None:
    """Asks the server whether it answers.

    Raises:
        BadInput: it cannot be reached, or refuses this client. What it cannot do at the moment is raised as it is.
    """
    try:
        client.ping()
    except redis.RedisError as error:
        found = unavailable(error)
        if found is not None and found.contact is Contact.NOT_NOW:
            raise
        untrusted = isinstance(error.__context__, ssl.SSLCertVerificationError)
        remedy = "check ssl_ca_certs in ORCHESTRATOR_REDIS_URL" if untrusted else "check ORCHESTRATOR_REDIS_URL"
        kind = NotReached if found is not None and found.contact is Contact.NOT_REACHED else BadInput
        raise kind(redact(url), f"Redis cannot be reached: {error}", remedy) from None
