"""What becomes of a slot: whether a missed one is made up for, and what happens where runs would overlap. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

PUNCTUAL_SECONDS = 60.0
"""What is begun within a minute was not missed: so long a control plane or a beat may take to be started anew."""

MOST_MISSED = 100
"""Of the slots that a schedule has missed so many are looked at, the newest; those before them are not made up for."""

MOST_WAITING = 100
"""More runs than this are not queued."""

CatchUp = Literal["none", "last", "all"]
Overlap = Literal["skip", "queue", "replace"]
Fate = Literal["run", "wait", "skip", "replace"]


def made_up_for(policy: CatchUp, late: Sequence[float]) -> list[bool]:
    """Returns which slots of a schedule are run, of those that are due at one time.

    Args:
        policy: The schedule's.
        late: Seconds since each was due, the oldest slot first.
    """
    newest = len(late) - 1
    return [
        seconds <= PUNCTUAL_SECONDS or policy == "all" or (policy == "last" and place == newest)
        for place, seconds in enumerate(late)
    ]


def fate(policy: Overlap, *, goes_on: bool, waiting: int, follows: bool) -> Fate:
    """Returns what becomes of a slot whose time has come.

    Args:
        policy: The schedule's.
        goes_on: Whether an earlier run has not ended.
        waiting: How many wait for one to end.
        follows: Whether all that goes on or waits was begun when this slot had been missed already, and all missed ones
            are made up for: then they are run one after the other.
    """
    if not goes_on and not waiting:
        return "run"
    if follows or policy == "queue":
        return "wait" if waiting < MOST_WAITING else "skip"
    return policy
