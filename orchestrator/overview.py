"""Where studies stand, as a look into the database finds it: what ``ls``, ``status`` and ``watch`` show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.notices import Progress

PACE_TRIALS = 20
"""The pace is that of so many trials that ended last."""


class Told(NamedTuple):
    """A note that somebody was, or is to be, told; see ``ports.NoteState``. ``at`` is when that last changed."""

    event: str
    kind: str
    state: str
    tries: int
    detail: str
    at: float


@dataclass(frozen=True)
class Overview:
    """One study.

    Attributes:
        progress: What the control plane would tell of it.
        created, changed: When the study was made, and when its state last changed; seconds since the epoch.
        ends: When trials ended, the last ``PACE_TRIALS`` of them, oldest first; seconds since the epoch.
        notes: Who was told what, oldest first.
        flagged: In what it is worse than the last run of its schedule; empty where it is not.
    """

    progress: Progress
    created: float
    changed: float
    ends: tuple[float, ...] = ()
    notes: tuple[Told, ...] = ()
    flagged: str = ""

    @property
    def ended(self) -> int:
        """Trials that have ended."""
        return self.progress.complete + self.progress.pruned + self.progress.failed

    @property
    def rate(self) -> float | None:
        """Trials that end in a second, by the last of them; ``None`` where there are too few."""
        if len(self.ends) < 3 or self.ends[-1] <= self.ends[0]:
            return None
        return (len(self.ends) - 1) / (self.ends[-1] - self.ends[0])

    def eta(self, now: float) -> float | None:
        """Returns the seconds until the budget is used up at that pace; ``None`` unless the study is running, and when
        nothing has ended for so long that the estimate has run out."""
        rate, left = self.rate, self.progress.budget - self.ended
        if rate is None or left <= 0 or self.progress.state != "running":
            return None
        seconds = left / rate - (now - self.ends[-1])
        return seconds if seconds > 0 else None
