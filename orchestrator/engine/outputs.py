"""The outputs of an engine, as values: rows to commit, and effects to have after the commit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.model.changeset import Changes
from orchestrator.model.progress_events import OtherSource, TakenUp, TrialEnded
from orchestrator.sampling.questions import Question
from tasks.contract import Confirmation, Job, Reply


@dataclass(frozen=True, slots=True)
class Send:
    """Put this job into a queue.

    ``priority`` is 0 to 9, the higher the sooner. ``weight`` is the study's share of the queue; without one the job
    does not wait for its study's turn.
    """

    job: Job
    queue: str
    priority: int
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Revoke:
    """Ring the keeper of this attempt, and keep its task from starting if it has not."""

    token: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """Delete whatever these attempts have put into the artifact store, except what is ``kept``.

    They have ended, so that nothing of theirs is still to be announced: what a worker wrote before it died, and what
    a control plane that died was about to delete.
    """

    attempts: frozenset[str]
    kept: frozenset[str]


class Retry(NamedTuple):
    """A trial is attempted again: which attempt that is, and why. ``cause`` is one of ``contract.FailureCause``,
    ``released`` where a worker handed the trial back, or ``obeyed`` where it was stopped and yet goes on."""

    token: str
    trial: int
    attempt: int
    cause: str


@dataclass
class Figures:
    """Measurements of a batch, for statistics alone: nothing is decided by them, and none is stored as such.

    ``latencies`` are of trials that were pruned, ``gaps`` of slots that began the next one, both in seconds;
    ``dropped`` counts events that were not folded, by reason.
    """

    retries: list[Retry] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


@dataclass
class Batch:
    """Everything that came of some events: rows to commit first, then what to do and to tell.

    ``replies`` go to runners that wait for a parameter, or for the study that they want to read. ``questions`` go to
    the study's sampler, in this order. ``discards`` are locations of checkpoints, ``artifact_discards``
    ids of artifacts, that may be deleted.
    """

    changes: Changes
    sends: list[Send] = field(default_factory=list)
    revokes: list[Revoke] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    discards: list[str] = field(default_factory=list)
    artifact_discards: list[str] = field(default_factory=list)
    sweep: Sweep | None = None
    confirmations: dict[str, Confirmation] = field(default_factory=dict)
    notices: list[TrialEnded | OtherSource | TakenUp] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    figures: Figures = field(default_factory=Figures)
