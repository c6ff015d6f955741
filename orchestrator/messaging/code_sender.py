"""Puts code bundles into Redis, where workers find them."""

from __future__ import annotations

import redis

from orchestrator.spec import Spec
from tasks import redis_keys
from tasks.code_bundle import CodeMessage
from tasks.codec import encode
from tasks.signing import Keyring, Purpose


def put_code(client: redis.Redis, keyring: Keyring, digest: str, message: CodeMessage) -> None:
    """Puts a code bundle where workers find it, signed where there is a key."""
    sealed = keyring.seal(Purpose.CODE, encode(message), digest)
    client.set(redis_keys.code(digest), sealed, ex=redis_keys.CODE_SECONDS)


def put_code_of(client: redis.Redis, spec: Spec, keyring: Keyring) -> None:
    """Puts the bundle that a spec carries into Redis, ahead of the study; does nothing where it carries none."""
    if spec.code is not None and spec.code.archive:
        archive, author = spec.code.carried()
        put_code(client, keyring, spec.code.bundle, CodeMessage(archive=archive, author=author))
