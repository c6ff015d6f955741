"""Every name in Redis, in one place. All of them begin with ``orchestrator:``, Celery's own names apart."""

from __future__ import annotations

import re
from typing import Final

NAME_LENGTH: Final = 128
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)

CELERYS_OWN: Final = ("unacked", "unacked_index", "unacked_mutex")
"""What Celery keeps beside its queues. No queue can be called so."""

EVENTS: Final = "orchestrator:events"
"""Stream: workers add events, the control plane's group reads them. Field ``e`` holds one encoded event."""

EVENT_FIELD: Final = b"e"

GROUP: Final = "control"
"""The one consumer group of the stream."""

DEAD_LETTERS: Final = "orchestrator:dead"
"""Stream: entries that were no events and items that were no tasks, with the reason; for people to look at."""

DEAD_LETTERS_KEPT: Final = 10_000

DOORBELL: Final = "orchestrator:doorbell"
"""Field value of a stream entry that carries no event and only wakes the control plane."""

WAKE: Final = "orchestrator:wake"
"""Likewise, where there is no command: something beside the control plane's loop has come to an end."""

ANNOUNCEMENT: Final = "orchestrator:announcement"
"""String: what the active control plane says of itself, for workers to see whether they understand it."""

PROBE: Final = "orchestrator:probe"
"""String, gone at once: whether the server takes anything."""

CONFIRMATION_SECONDS: Final = 7 * 86_400
"""How long a confirmation stays readable for a worker that was cut off."""


def is_name(text: str) -> bool:
    """Whether a study or a queue may be called so: the name becomes part of Redis keys, and a folder."""
    return len(text) <= NAME_LENGTH and _NAME.fullmatch(text) is not None and ".." not in text


def is_queue(text: str) -> bool:
    """Whether a queue may be called so."""
    return is_name(text) and text not in CELERYS_OWN


def confirmation(token: str) -> str:
    """String: what is committed of the attempt, and its verdict."""
    return f"orchestrator:attempt:{token}"


def replies(runner: str) -> str:
    """List: answers to the ``suggest`` events of a runner."""
    return f"orchestrator:replies:{runner}"


def notices(study: str) -> str:
    """Stream, capped: what a live view of the study shows. Losing it loses nothing."""
    return f"orchestrator:notices:{study}"


def answer(command: str) -> str:
    """List: the answer to a command, for the process that waits for it."""
    return f"orchestrator:answer:{command}"


def preload(worker: str) -> str:
    """List: how importing the objective went in each slot of a worker that was started with one."""
    return f"orchestrator:preload:{worker}"
