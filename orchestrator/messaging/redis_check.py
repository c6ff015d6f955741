"""The first contact with Redis."""

from __future__ import annotations

import ssl
from contextlib import closing

import redis

from orchestrator.common.data_folder import redis_url_of
from orchestrator.common.errors import BadInput, NotReached
from orchestrator.common.settings import Settings
from orchestrator.common.urls import redact
from tasks.app import connect
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


def answering_redis(settings: Settings) -> str:
    """Returns the URL of the fleet's Redis, or else of that of the `run` that works in the data folder.

    Raises:
        BadInput: there is none, or it does not answer.
    """
    url = redis_url_of(settings)
    if url is None:
        problem = f"is not set, and no `run` works in {settings.data_dir}"
        raise BadInput("ORCHESTRATOR_REDIS_URL", problem, "set it to the Redis of the fleet")
    with closing(connect(url)) as client:
        check_redis(client, url)
    return url
