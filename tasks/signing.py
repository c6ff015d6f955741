"""Signatures of what crosses Redis: whoever can write there and has no key can lose messages, but make none.

Everything that is acted upon is signed: jobs, events, confirmations with their verdicts, and replies. A signature is
keyed BLAKE2b over the bytes as they are sent. It is made for one purpose, so that no job passes for an event, and, of
what does not itself name its attempt, for one subject. Without keys nothing is signed, and nothing has to be.
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
"""Variable that holds the keys, separated by blanks or commas: the first one signs, all of them verify. With _FILE
behind it, the one that names a file with them."""

SHORTEST: Final = 32
"""Characters of a key: 128 bits where they are hexadecimal digits."""

FEWEST_DISTINCT: Final = 8
"""Different characters in a key. A random one has more; what a person repeats to make up the length has not."""

_MOST_KEYS: Final = 10
_SIZE: Final = 16
# No msgpack message begins so: what is signed can be told from what is not, with and without a key.
_MARK: Final = b"\xc1"
_BEGINS: Final = len(_MARK) + _SIZE


class Purpose(Enum):
    """What a signature is for. The value goes into the hash, 16 bytes at the most."""

    JOB = b"job"
    EVENT = b"event"
    CONFIRMATION = b"confirmation"
    REPLY = b"reply"
    ANNOUNCEMENT = b"announcement"


class Unsigned(Malformed):
    """Not signed, or not by anybody who holds a key of ours."""


class Keyring:
    """The keys of one process. It shows none of them.

    Args:
        keys: The first one signs, all of them verify; none for what is neither signed nor verified.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        # BLAKE2b takes keys of 64 bytes at the most.
        secrets = [blake2b(key.encode()).digest() for key in keys]
        # Copied for each message, which is quicker than to take the key in again.
        self._states = {
            purpose: [blake2b(key=secret, digest_size=_SIZE, person=purpose.value) for secret in secrets]
            for purpose in Purpose
        }

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Keyring:
        """Reads the keys that the environment holds, or names the file of. Raises BadSetting."""
        return cls(read_keys(environ.get(SIGNING_KEY, ""), environ.get(f"{SIGNING_KEY}_FILE", "")))

    def __bool__(self) -> bool:
        return bool(self._states[Purpose.JOB])

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

    def seal(self, purpose: Purpose, data: bytes, subject: str = "") -> bytes:
        """Returns ``data`` with its signature before it; as it is where there is no key.

        Args:
            purpose: What it is for.
            data: A msgpack message.
            subject: Whose it is, where the message does not say so itself.
        """
        if not self:
            return data
        return b"".join((_MARK, self.sign(purpose, _about(subject, data)), data))

    def open(self, purpose: Purpose, sealed: bytes, subject: str = "") -> bytes:
        """Returns what ``seal`` was given.

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
"""No keys: nothing is signed, and nothing has to be."""


def read_keys(text: str, file: str) -> tuple[str, ...]:
    """Returns the keys that one of the two variables gives; none where both are empty.

    Args:
        text: What ``ORCHESTRATOR_SIGNING_KEY`` holds.
        file: What ``ORCHESTRATOR_SIGNING_KEY_FILE`` names.

    Raises:
        BadSetting: both are given, the file cannot be read or is empty, or a key is too weak. It says nothing of what
            the key is.
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


def _about(subject: str, data: bytes) -> bytes:
    # What is signed by itself begins with a byte that begins no msgpack message, so neither passes for the other.
    return data if not subject else b"".join((_MARK, subject.encode(), b"\0", data))
