"""The status of a study, as Python objects get it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.api.shown import as_html, as_text

if TYPE_CHECKING:
    from orchestrator.model.progress_events import Best, SlotLine
    from orchestrator.model.study_status import Overview


@dataclass(frozen=True)
class StudyStatus:
    """What `orchestrator status` shows. ``str()`` of it is that text.

    Attributes:
        name: Name of the study.
        state: One of the states in docs/lifecycle.md; ``suspended`` or ``optuna`` in special cases.
        reason: Why it is in that state, in words; empty where that needs none.
        budget: Trials that the study is to have.
        complete, pruned, failed: Trials that have ended, by how.
        running, waiting: Trials that train, and that wait in the queue.
        epochs: Epochs or steps that all trials have trained.
        epochs_saved: Epochs that pruned trials did not train; 0 where ``max_steps`` is not known.
        best: The best completed trial: ``number``, ``value``, ``params``; ``None`` while there is none.
        front: Size of the Pareto front of a study with several objectives, else ``None``.
        trials_per_hour: Pace of the trials that ended last; ``None`` while too few have.
        eta: Seconds until the budget is used up; ``None`` where that cannot be told.
        slots: What each slot trains.
    """

    name: str
    state: str
    reason: str
    budget: int
    complete: int
    pruned: int
    failed: int
    running: int
    waiting: int
    epochs: int
    epochs_saved: int
    best: Best | None
    front: int | None
    trials_per_hour: float | None
    eta: float | None
    slots: tuple[SlotLine, ...]
    overview: Overview = field(repr=False, compare=False)
    at: float = field(repr=False, compare=False)

    @property
    def ended(self) -> int:
        """Trials that have ended."""
        return self.complete + self.pruned + self.failed

    @property
    def has_ended(self) -> bool:
        """Whether the study is at rest: finished, failed or stopped."""
        from orchestrator.model.study_states import ENDED

        return self.state in ENDED

    @classmethod
    def of(cls, overview: Overview, at: float) -> StudyStatus:
        """Returns the status that ``overview`` holds; ``at`` is when it was read, in seconds since the epoch."""
        progress, rate = overview.progress, overview.rate
        return cls(
            name=progress.study,
            **{name: getattr(progress, name) for name in _OF_PROGRESS},
            trials_per_hour=None if rate is None else rate * 3600,
            eta=overview.eta(at),
            overview=overview,
            at=at,
        )

    def to_json(self) -> dict[str, Any]:
        """Returns what `orchestrator status --json` prints."""
        from orchestrator.terminal.overview import to_json

        return to_json(self.overview, self.at)

    def __str__(self) -> str:
        from orchestrator.terminal.overview import render_status

        return as_text(render_status(self.overview, 100, self.at))

    def _repr_html_(self) -> str:
        return as_html(str(self))


_OF_PROGRESS = (
    *("state", "reason", "budget", "complete", "pruned", "failed", "running", "waiting"),
    *("epochs", "epochs_saved", "best", "front", "slots"),
)
