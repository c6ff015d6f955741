"""Status of studies, read from the database for ``ls``, ``status`` and ``watch``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.model.progress_events import Progress
from orchestrator.model.suspension import Suspension

PACE_TRIALS = 20
"""Number of newest ended trials over which the pace of a study is measured."""


class NotificationStatus(NamedTuple):
    """One notification of a study and its ``notifications.DeliveryState``; ``at`` is when that last changed."""

    event: str
    kind: str
    state: str
    tries: int
    detail: str
    at: float


class Absence(NamedTuple):
    """No control plane looks after a study: ``since`` when none has been seen, in seconds since the epoch; ``None``
    where one is seen that looks after another study alone, and where that is not known. ``alone``: its database is a
    file and no fleet is configured, so that an `orchestrator run` goes on with it."""

    since: float | None
    alone: bool


class Work(NamedTuple):
    """The work on one trial: ``spells`` are (start, end) of its started attempts in seconds since the epoch, the end
    ``None`` while one runs; ``epochs`` were reported in all of them."""

    epochs: int
    spells: tuple[tuple[float, float | None], ...]


@dataclass(frozen=True)
class Overview:
    """One study.

    Attributes:
        progress: As the control plane publishes it.
        created, changed: When the study was made, and when its state last changed; seconds since the epoch. Of a study
            that only Optuna has run: when its first trial began, and when its latest one did or ended; ``None`` where
            it has none.
        ends: When trials ended or, where trials are promoted, began; the last ``PACE_TRIALS`` of them, oldest first;
            seconds since the epoch. Of a study that is running only those since it began to: a night without workers
            says nothing of its pace.
        work: Of the trials that were at work since the first of ``ends``; where there are too few, since a study that
            is running began to, or at any time.
        notes: Its notifications, oldest first.
        flagged: The regression against the last run of its schedule; empty where there is none.
        suspended: The cause, where it is suspended.
        absence: Of a control plane, where the study needs one and none looks after it.
    """

    progress: Progress
    created: float | None
    changed: float | None
    ends: tuple[float, ...] = ()
    work: tuple[Work, ...] = ()
    notes: tuple[NotificationStatus, ...] = ()
    flagged: str = ""
    suspended: Suspension | None = None
    absence: Absence | None = None

    @property
    def ended(self) -> int:
        """Trials that have ended."""
        return self.progress.ended

    @property
    def rate(self) -> float | None:
        """Trials that end or, where they are promoted, begin in a second, from the first to the last of ``ends``;
        ``None`` where there are too few."""
        return None if since(self.ends) is None else (len(self.ends) - 1) / (self.ends[-1] - self.ends[0])

    def epoch_rate(self, now: float) -> float | None:
        """Returns the epochs that all slots together train in a second; ``None`` where none was reported.

        It is measured from the first of ``ends`` until ``now``, until a control plane was last seen, or until the last
        attempt had ended where nothing is at work; where too few trials have ended, from the first start since the
        study began to run. When an epoch was reported is not stored: those of a trial are taken to be spread evenly
        over the time that it was at work.
        """
        if self.absence is not None and self.absence.since is not None:
            now = min(now, self.absence.since)
        spells = [[(begin, now if end is None else end) for begin, end in each.spells] for each in self.work]
        if not any(each.epochs for each in self.work):
            return None
        first = min(begin for spans in spells for begin, _ in spans)
        if self.progress.state == "running" and self.changed is not None:
            first = max(first, self.changed)
        begin, until = since(self.ends) or first, max(end for spans in spells for _, end in spans)
        trained = 0.0
        for each, spans in zip(self.work, spells, strict=True):
            lasted = sum(end - start for start, end in spans)
            within = sum(max(0.0, end - max(start, begin)) for start, end in spans)
            trained += each.epochs * within / lasted if lasted > 0 else 0.0
        return trained / (until - begin) if until > begin else None

    def eta(self, now: float) -> float | None:
        """Returns the seconds until the budget is used up at that pace; ``None`` unless the study is running, and when
        nothing has ended for so long that the estimate has run out."""
        if self.progress.state != "running":
            return None
        rate = self.epoch_rate(now)
        return soonest(self.progress, self._of_trials(now), None if not rate else 1 / rate)

    def _of_trials(self, now: float) -> float | None:
        rate, left = self.rate, self.progress.budget - trials_done(self.progress)
        return None if rate is None or left <= 0 else left / rate - (now - self.ends[-1])


def trials_done(progress: Progress) -> int:
    """Returns the trials that count as progress: where trials are promoted those that have begun, else the ended."""
    return progress.begun if progress.promotes else progress.ended


def soonest(progress: Progress, of_trials: float | None, epoch_seconds: float | None) -> float | None:
    """Returns the seconds until the budget is used up.

    Args:
        progress: Of the study.
        of_trials: The seconds by the pace of its trials; ``None`` where it is not known, or all have ended or begun.
        epoch_seconds: The seconds that an epoch takes, of all slots together; ``None`` where that is not known.
    """
    found = of_trials
    if progress.rest is not None:
        # New trials may be promoted in place of those that are on a rung now: it takes as long as the longer of both.
        of_rest = None if epoch_seconds is None else progress.rest * epoch_seconds
        found = max((each for each in (of_trials, of_rest) if each is not None), default=None)
    if progress.epoch_budget is not None and epoch_seconds is not None:
        limit = (progress.epoch_budget - progress.epochs) * epoch_seconds
        found = limit if found is None else min(found, limit)
    return found if found is not None and found > 0 else None


def counts_epochs(progress: Progress) -> bool:
    """Whether the budget is used up by epochs sooner than by trials."""
    limit = progress.epoch_budget
    return limit is not None and progress.epochs * progress.budget >= trials_done(progress) * limit


def since(ends: Sequence[float]) -> float | None:
    """Returns since when it is measured how fast a study goes, of trials that ended at these times, oldest first;
    ``None`` where they are too few to tell, or all ended at once."""
    return ends[0] if len(ends) > 2 and ends[-1] > ends[0] else None
