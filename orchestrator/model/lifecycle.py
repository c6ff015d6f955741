"""The life of an attempt: states, events and guards, in one table. ``docs/lifecycle.md`` draws it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import Final, NamedTuple, Protocol


class AttemptState(StrEnum):
    """The states of an attempt."""

    QUEUED = "queued"
    """Committed; its task is not known to have been sent."""
    SENT = "sent"
    """Its task was sent, or waits for its study's turn to be sent; no runner is bound to it."""
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


TRAINING: Final = frozenset({AttemptState.RUNNING, AttemptState.STOPPING})
"""The states in which a runner is bound to an attempt."""


class AttemptEvent(StrEnum):
    """The events that change an attempt."""

    SEND = "send"
    START = "start"
    VERDICT = "verdict"
    END = "end"
    LOSE = "lose"
    PAUSE = "pause"
    PROMOTE = "promote"


class Attempt(Protocol):
    """What a guard looks at: the runner that is bound to the attempt, and the verdict on it; empty where none is."""

    @property
    def runner(self) -> str: ...

    @property
    def verdict(self) -> str: ...


class Guard(Enum):
    """The conditions of transitions."""

    NONE = ""
    UNBOUND = "no runner is bound"
    FIRST_VERDICT = "no verdict is out"

    def holds(self, attempt: Attempt) -> bool:
        """Returns whether it does."""
        match self:
            case Guard.NONE:
                return True
            case Guard.UNBOUND:
                return not attempt.runner
            case Guard.FIRST_VERDICT:
                return not attempt.verdict


class Transition(NamedTuple):
    """The state to which an event leads, if its guard holds."""

    to: AttemptState
    guard: Guard = Guard.NONE


_S, _E, _G = AttemptState, AttemptEvent, Guard

TRANSITIONS: Final[Mapping[tuple[AttemptState, AttemptEvent], Transition]] = {
    (_S.QUEUED, _E.SEND): Transition(_S.SENT),
    # Killed between sending the task and noting it.
    (_S.QUEUED, _E.START): Transition(_S.RUNNING, _G.UNBOUND),
    (_S.QUEUED, _E.VERDICT): Transition(_S.STOPPING, _G.FIRST_VERDICT),
    (_S.QUEUED, _E.END): Transition(_S.DONE),
    # The message was lost: the same token is sent again.
    (_S.SENT, _E.SEND): Transition(_S.SENT, _G.UNBOUND),
    (_S.SENT, _E.START): Transition(_S.RUNNING, _G.UNBOUND),
    (_S.SENT, _E.VERDICT): Transition(_S.STOPPING, _G.FIRST_VERDICT),
    (_S.SENT, _E.END): Transition(_S.DONE),
    (_S.RUNNING, _E.VERDICT): Transition(_S.STOPPING, _G.FIRST_VERDICT),
    (_S.RUNNING, _E.END): Transition(_S.DONE),
    (_S.RUNNING, _E.LOSE): Transition(_S.LOST),
    (_S.RUNNING, _E.PAUSE): Transition(_S.PAUSED),
    # The trial goes on in its next attempt.
    (_S.PAUSED, _E.PROMOTE): Transition(_S.DONE),
    (_S.PAUSED, _E.END): Transition(_S.DONE),
    # Its task was on its way when the verdict came. The runner is bound, so that it can be told.
    (_S.STOPPING, _E.START): Transition(_S.STOPPING, _G.UNBOUND),
    (_S.STOPPING, _E.END): Transition(_S.DONE),
    (_S.STOPPING, _E.LOSE): Transition(_S.LOST),
}

LIVE: Final = frozenset({_S.QUEUED, _S.SENT, _S.RUNNING, _S.STOPPING, _S.PAUSED})
"""Of these a trial has at most one."""
WAITING: Final = frozenset({_S.QUEUED, _S.SENT})

NOT_STARTED: Final = "not started"
"""Cause and verdict of an attempt that the end of its study took out of the queue."""


def after(state: AttemptState, event: AttemptEvent, attempt: Attempt) -> AttemptState | None:
    """Returns the state that ``event`` leads to, or ``None`` where it means nothing in ``state`` of this attempt."""
    transition = TRANSITIONS.get((state, event))
    if transition is None or not transition.guard.holds(attempt):
        return None
    return transition.to
