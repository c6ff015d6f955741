"""All names in Redis. They begin with ``orchestrator:``, except for Celery's own."""

from __future__ import annotations

import re
from typing import Final

NAME_LENGTH: Final = 128
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)

CELERYS_OWN: Final = ("unacked", "unacked_index", "unacked_mutex")
"""Keys of Celery beside its queues; no queue can have such a name."""

EVENTS: Final = "orchestrator:events"
"""Stream: workers add events, the control plane's group reads them. Field ``e`` holds one encoded event."""

EVENT_FIELD: Final = b"e"

GROUP: Final = "control"
"""The one consumer group of the stream."""

DEAD_LETTERS: Final = "orchestrator:dead"
"""Stream: entries that were no events and items that were no tasks, with the reason, for people to read."""

DEAD_LETTERS_KEPT: Final = 10_000

DOORBELL: Final = "orchestrator:doorbell"
"""Field value of a stream entry without an event, which only wakes the control plane for a command."""

WAKE: Final = "orchestrator:wake"
"""Likewise without a command: work beside the control plane's loop has ended."""

ANNOUNCEMENT: Final = "orchestrator:announcement"
"""String: announcement of the active control plane, by which workers check its protocol version."""

PROBE: Final = "orchestrator:probe"
"""String, deleted at once: tests whether the server accepts writes."""

CODE_SECONDS: Final = 600
"""Lifetime of a code bundle in Redis."""

CONFIRMATION_SECONDS: Final = 7 * 86_400
"""Lifetime of a confirmation, for a worker that was cut off."""


def is_name(text: str) -> bool:
    """Whether a study or a queue may have this name: it becomes part of Redis keys, and a folder."""
    return len(text) <= NAME_LENGTH and _NAME.fullmatch(text) is not None and ".." not in text


def is_queue(text: str) -> bool:
    """Whether a queue may have this name."""
    return is_name(text) and text not in CELERYS_OWN


def confirmation(token: str) -> str:
    """String: confirmation of the attempt, with its verdict."""
    return f"orchestrator:attempt:{token}"


def replies(runner: str) -> str:
    """List: answers to the ``suggest`` events of a runner."""
    return f"orchestrator:replies:{runner}"


def notices(study: str) -> str:
    """Stream, capped: progress for live views of the study. Its loss harms nothing."""
    return f"orchestrator:notices:{study}"


def code(digest: str) -> str:
    """String: a code bundle, by its digest. Workers ask for one that is not there."""
    return f"orchestrator:code:{digest}"


def answer(command: str) -> str:
    """List: the answer to a command."""
    return f"orchestrator:answer:{command}"


def preload(worker: str) -> str:
    """List: result of the preload in each slot of a worker."""
    return f"orchestrator:preload:{worker}"
