"""The life of an attempt: every legal transition, in one table."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class AttemptState(StrEnum):
    """Where an attempt stands."""

    QUEUED = "queued"
    """Committed; its task is not known to have been sent."""
    SENT = "sent"
    """Its task was sent; no runner is bound to it."""
    RUNNING = "running"
    """A runner is bound to it and trains."""
    STOPPING = "stopping"
    """A verdict is out; its runner, if there is one, has not obeyed yet."""
    PAUSED = "paused"
    """It was trained up to its rung; its trial may be promoted, or ends there."""
    DONE = "done"
    """Its runner said its last word, or it never began and never will."""
    LOST = "lost"
    """Its runner went silent."""


class AttemptEvent(StrEnum):
    """What can happen to an attempt."""

    SEND = "send"
    START = "start"
    VERDICT = "verdict"
    END = "end"
    LOSE = "lose"
    PAUSE = "pause"
    PROMOTE = "promote"


_S, _E = AttemptState, AttemptEvent

TRANSITIONS: Final[dict[tuple[AttemptState, AttemptEvent], AttemptState]] = {
    (_S.QUEUED, _E.SEND): _S.SENT,
    (_S.QUEUED, _E.START): _S.RUNNING,  # killed between sending the task and noting it
    (_S.QUEUED, _E.VERDICT): _S.STOPPING,
    (_S.QUEUED, _E.END): _S.DONE,
    (_S.SENT, _E.SEND): _S.SENT,  # the message was lost: the same token is sent again
    (_S.SENT, _E.START): _S.RUNNING,
    (_S.SENT, _E.VERDICT): _S.STOPPING,
    (_S.SENT, _E.END): _S.DONE,
    (_S.RUNNING, _E.VERDICT): _S.STOPPING,
    (_S.RUNNING, _E.END): _S.DONE,
    (_S.RUNNING, _E.LOSE): _S.LOST,
    (_S.RUNNING, _E.PAUSE): _S.PAUSED,
    (_S.PAUSED, _E.PROMOTE): _S.DONE,  # the trial goes on in its next attempt
    (_S.PAUSED, _E.END): _S.DONE,
    (_S.STOPPING, _E.START): _S.STOPPING,  # its task was on its way when the verdict came; it will obey
    (_S.STOPPING, _E.VERDICT): _S.STOPPING,
    (_S.STOPPING, _E.END): _S.DONE,
    (_S.STOPPING, _E.LOSE): _S.LOST,
}

LIVE: Final = frozenset({_S.QUEUED, _S.SENT, _S.RUNNING, _S.STOPPING, _S.PAUSED})
"""Of these a trial has at most one."""
WAITING: Final = frozenset({_S.QUEUED, _S.SENT})


def after(state: AttemptState, event: AttemptEvent) -> AttemptState | None:
    """Returns the state that ``event`` leads to, or ``None`` where the event means nothing in ``state``."""
    return TRANSITIONS.get((state, event))
