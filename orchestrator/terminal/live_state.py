"""The state of the live view: a pure fold of notices, so that every frame can be made from a list of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from orchestrator.model.progress_events import Notice, OtherSource, Progress, SlotLine, TakenUp, TrialEnded
from orchestrator.model.study_status import soonest, trials_done

RECENT: Final = 10
"""Ended trials that are kept, newest first."""
FORGET_SECONDS: Final = 300.0
"""Time for which an idle slot is shown: its worker may be gone, which no notice says."""
_FEW_EPOCHS: Final = 10
"""Epochs that have to be trained before their rate says something."""
SETTLE_SECONDS: Final = 1.0
"""Notices this soon after the first one may be the past, read back: they say nothing about the pace."""


@dataclass(frozen=True, slots=True)
class SlotView:
    """A known slot: what it does, or did last; ``idle_since`` is ``None`` while it trains."""

    line: SlotLine
    idle_since: float | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """The rate at which trials end or, where they are promoted, begin; measured since the view began.

    Attributes:
        base: Trials that had done so when measuring began.
        seconds: How long the study has been running since then, pauses left out.
        ended: Trials that have done so since then.
        ended_seconds: What ``seconds`` was when the last of them did.
        base_epochs: Epochs that were trained when measuring began.
    """

    base: int = 0
    seconds: float = 0.0
    ended: int = 0
    ended_seconds: float = 0.0
    base_epochs: int = 0


@dataclass(frozen=True, slots=True)
class ViewState:
    """Everything that a frame depends on. ``now`` and ``started`` are monotonic seconds of the caller; the study had
    been running for ``before`` seconds at the first notice."""

    now: float = 0.0
    started: float | None = None
    before: float = 0.0
    progress_at: float = 0.0
    progress: Progress | None = None
    slots: tuple[SlotView, ...] = ()
    recent: tuple[TrialEnded, ...] = ()
    pace: Pace = Pace()
    warning: str = ""

    def at(self, now: float) -> ViewState:
        """Returns the same state a little later."""
        return replace(self, now=max(now, self.now))

    @property
    def elapsed(self) -> float:
        """Seconds since the study began to run, or since the first notice where that is not known."""
        return 0.0 if self.started is None else self.now - self.started + self.before

    @property
    def ended(self) -> int:
        """Trials that have ended."""
        return self.progress.ended if self.progress else 0

    @property
    def eta(self) -> float | None:
        """Seconds until the budget is used up: trials left times the mean time between two ends, less
        the time since the last end.

        Where trials are promoted, those count that begin, and the epochs that the rule has left; where epochs are
        limited, it is the epochs left at their rate, if that is sooner. The mean is that of all trials that ended since
        the view began. ``None`` while the study is not running, until as many have ended as there are slots (two at
        least: the first of many parallel trials tells nothing), and when nothing has ended for so long that the
        estimate has run out.
        """
        progress = self.progress
        if progress is None or progress.state != "running":
            return None
        trained = progress.epochs - self.pace.base_epochs
        enough = trained >= _FEW_EPOCHS and self.pace.seconds > 0
        return soonest(progress, self._of_trials(progress), self.pace.seconds / trained if enough else None)

    def _of_trials(self, progress: Progress) -> float | None:
        pace, left = self.pace, progress.budget - trials_done(progress)
        if left <= 0 or pace.ended < max(2, len(self.slots)) or pace.ended_seconds <= 0:
            return None
        since = pace.seconds - pace.ended_seconds + (self.now - self.progress_at)
        seconds = left * pace.ended_seconds / pace.ended - since
        return seconds if seconds > 0 else None


def fold(state: ViewState, notice: Notice, now: float) -> ViewState:
    """Returns the state after ``notice``, which came at ``now``."""
    now = max(now, state.now)
    started = now if state.started is None else state.started
    if isinstance(notice, TrialEnded):
        return replace(state, now=now, started=started, recent=(notice, *state.recent)[:RECENT])
    if isinstance(notice, OtherSource | TakenUp):
        return replace(state, now=now, started=started, warning=notice.text())
    return replace(
        state,
        now=now,
        started=started,
        before=notice.elapsed or 0.0 if state.progress is None else state.before,
        progress_at=now,
        progress=notice,
        slots=_slots(state, notice, now),
        pace=_pace(state, notice, now, now - started),
    )


def _pace(state: ViewState, progress: Progress, now: float, elapsed: float) -> Pace:
    ended, before = trials_done(progress), state.progress
    if before is None or elapsed < SETTLE_SECONDS:
        return Pace(base=ended, base_epochs=progress.epochs)
    pace = state.pace
    ran = now - state.progress_at if before.state == "running" else 0.0
    pace = replace(pace, seconds=pace.seconds + ran)
    if ended - pace.base > pace.ended:
        pace = replace(pace, ended=ended - pace.base, ended_seconds=pace.seconds)
    return pace


def _slots(state: ViewState, progress: Progress, now: float) -> tuple[SlotView, ...]:
    slots = {
        slot.line.slot: replace(slot, idle_since=now if slot.idle_since is None else slot.idle_since)
        for slot in state.slots
        if slot.idle_since is None or now - slot.idle_since < FORGET_SECONDS
    }
    slots.update({line.slot: SlotView(line) for line in progress.slots})
    return tuple(sorted(slots.values(), key=_by_name))


def _by_name(slot: SlotView) -> list[str | int]:
    """Returns a sort key by which node 2 comes before node 10."""
    parts = re.split("([0-9]{1,9})", slot.line.slot)
    return [int(part) if position % 2 else part for position, part in enumerate(parts)]
