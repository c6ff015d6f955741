"""Signatures of messages in Redis: a client without a key can delete messages there, but forge none.

Jobs, events, confirmations with their verdicts, replies, announcements and code bundles are signed. A signature is
keyed BLAKE2b over
the bytes as they are sent. It is made for one purpose, so that no job passes for an event, and for one subject where
the message does not name its attempt itself. Without keys nothing is signed or verified.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from hashlib import blake2b
from typing import Final

from tasks.codec import Malformed
from tasks.metrics_endpoint import BadSetting, read_secret

SIGNING_KEY: Final = "ORCHESTRATOR_SIGNING_KEY"
"""Variable with the keys, separated by blanks or commas: the first one signs, all of them verify. With the suffix
_FILE, the variable that names a file with them."""

SHORTEST: Final = 32
"""Fewest characters of a key: 128 bits in hexadecimal digits."""

FEWEST_DISTINCT: Final = 8
"""Fewest different characters in a key: a random key has more, a repeated word has not."""

_NAMED: Final = re.compile(r"([A-Za-z][A-Za-z0-9_]{0,63}):.")
"""A key may begin with a name and a colon; the name is part of the key."""

_MOST_KEYS: Final = 10
_SIZE: Final = 16
# No msgpack message begins with this byte, so signed messages can be told from unsigned ones without a key.
_MARK: Final = b"\xc1"
_BEGINS: Final = len(_MARK) + _SIZE


class Purpose(Enum):
    """Purpose of a signature. The value is hashed with the message, 16 bytes at most."""

    JOB = b"job"
    EVENT = b"event"
    CONFIRMATION = b"confirmation"
    REPLY = b"reply"
    ANNOUNCEMENT = b"announcement"
    CODE = b"code"
    AUTHOR = b"author"


class Unsigned(Malformed):
    """A message is not signed, or with a key that is not known here."""


class Keyring:
    """The keys of one process.

    Args:
        keys: The first one signs, all of them verify; without keys messages are neither signed nor verified.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        # BLAKE2b takes keys of 64 bytes at the most.
        secrets = [blake2b(key.encode()).digest() for key in keys]
        self.names = tuple(name_of_key(key) for key in keys)
        self._has_keys = bool(keys)
        # Copied for each message, which is faster than to hash the key again.
        self._states = {
            purpose: [blake2b(key=secret, digest_size=_SIZE, person=purpose.value) for secret in secrets]
            for purpose in Purpose
        }

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Keyring:
        """Reads the keys from the environment, or from the file that it names. Raises BadSetting."""
        return cls(read_keys(environ.get(SIGNING_KEY, ""), environ.get(f"{SIGNING_KEY}_FILE", "")))

    def __bool__(self) -> bool:
        return self._has_keys

    def sign(self, purpose: Purpose, data: bytes) -> bytes:
        """Returns the signature of ``data``. There must be a key."""
        state = self._states[purpose][0].copy()
        state.update(data)
        return state.digest()

    def verify(self, purpose: Purpose, data: bytes, signature: bytes) -> None:
        """Raises Unsigned unless ``signature`` is one of ``data``, by one of the keys."""
        for keyed in self._states[purpose]:
            state = keyed.copy()
            state.update(data)
            if hmac.compare_digest(state.digest(), signature):
                return
        raise Unsigned("signed with no key that is known here" if signature else "not signed")

    def signers(self, purpose: Purpose, data: bytes, signature: bytes) -> tuple[str, ...]:
        """Returns the names of the keys by which ``signature`` is one of ``data``; a key without one is ``""``."""
        found = []
        for name, keyed in zip(self.names, self._states[purpose], strict=True):
            state = keyed.copy()
            state.update(data)
            if hmac.compare_digest(state.digest(), signature):
                found.append(name)
        return tuple(found)

    def seal(self, purpose: Purpose, data: bytes, subject: str = "") -> bytes:
        """Returns ``data`` with its signature before it; without a key ``data`` alone.

        Args:
            purpose: Purpose of the message.
            data: A msgpack message.
            subject: Token of its attempt, where the message does not name it.
        """
        if not self:
            return data
        return b"".join((_MARK, self.sign(purpose, _about(subject, data)), data))

    def open(self, purpose: Purpose, sealed: bytes, subject: str = "") -> bytes:
        """Returns the message that ``seal`` was given.

        Raises:
            Unsigned: there is a key, and no signature by it; or a signature, and no key.
        """
        signed = sealed.startswith(_MARK)
        if not self:
            if signed:
                raise Unsigned(f"signed, and there is no key here: set {SIGNING_KEY}")
            return sealed
        if not signed:
            raise Unsigned("not signed")
        data = sealed[_BEGINS:]
        self.verify(purpose, _about(subject, data), sealed[len(_MARK) : _BEGINS])
        return data


UNSIGNED: Final = Keyring()
"""No keys: messages are neither signed nor verified."""


def read_keys(text: str, file: str) -> tuple[str, ...]:
    """Returns the keys of one of the two variables; none where both are empty.

    Args:
        text: Value of ``ORCHESTRATOR_SIGNING_KEY``.
        file: Value of ``ORCHESTRATOR_SIGNING_KEY_FILE``.

    Raises:
        BadSetting: both are given, the file cannot be read or is empty, or a key is too weak. The message shows no key.
    """
    variable = f"{SIGNING_KEY}_FILE" if file.strip() else SIGNING_KEY
    found = read_secret(SIGNING_KEY, text.strip(" \t\r\n,"), file.strip())
    keys = tuple(filter(None, re.split(r"[\s,]+", found)))
    if len(keys) > _MOST_KEYS:
        raise BadSetting(variable, f"{len(keys)} keys are too many", f"{_MOST_KEYS} are enough to replace one")
    remedy = f"a key is {SHORTEST} or more random characters, such as 'openssl rand -hex 32' gives"
    for place, key in enumerate(keys, 1):
        which = "the key" if len(keys) == 1 else f"key {place} of {len(keys)}"
        if len(key) < SHORTEST:
            raise BadSetting(variable, f"{which} has only {len(key)} characters", remedy)
        if len(set(key)) < FEWEST_DISTINCT:
            raise BadSetting(variable, f"{which} has only {len(set(key))} different characters", remedy)
    return keys


def name_of_key(key: str) -> str:
    """Returns the name that a key begins with, as in ``alice:5f0c…``; empty where it has none."""
    found = _NAMED.match(key)
    return found[1] if found else ""


def _about(subject: str, data: bytes) -> bytes:
    # A signed message without a subject begins as msgpack does, so neither form passes for the other.
    return data if not subject else b"".join((_MARK, subject.encode(), b"\0", data))
