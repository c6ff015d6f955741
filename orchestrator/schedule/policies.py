"""The policies of a schedule, as pure functions: for slots that were missed, and for runs that overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

PUNCTUAL_SECONDS = 60.0
"""A slot that begins within a minute was not missed: a control plane or a beat may take that long to restart."""

MOST_MISSED = 100
"""Missed slots of a schedule that are considered, the newest ones; earlier ones are not run."""

MOST_WAITING = 100
"""Most runs of a schedule that wait."""

CatchUp = Literal["none", "last", "all"]
Overlap = Literal["skip", "queue", "replace"]
OverlapAction = Literal["run", "wait", "skip", "replace"]


def catch_up(policy: CatchUp, late: Sequence[float]) -> list[bool]:
    """Returns for each slot of a schedule that is due whether it is run.

    Args:
        policy: The schedule's.
        late: Seconds since each slot was due, the oldest first.
    """
    newest = len(late) - 1
    return [
        seconds <= PUNCTUAL_SECONDS or policy == "all" or (policy == "last" and place == newest)
        for place, seconds in enumerate(late)
    ]


def overlap_action(policy: Overlap, *, goes_on: bool, waiting: int, follows: bool) -> OverlapAction:
    """Returns what happens to a slot whose time has come.

    Args:
        policy: The schedule's.
        goes_on: Whether an earlier run has not ended.
        waiting: Number of runs that wait for one to end.
        follows: Whether all runs that go on or wait began after this slot was missed, and the schedule runs all missed
            slots: then they run one after the other.
    """
    if not goes_on and not waiting:
        return "run"
    if follows or policy == "queue":
        return "wait" if waiting < MOST_WAITING else "skip"
    return policy
