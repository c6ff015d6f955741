"""What one round of the control plane came to, for those who measure it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.model.notifications import NoteState
from orchestrator.model.progress_events import Progress

if TYPE_CHECKING:
    from orchestrator.engine.outputs import Batch


@dataclass(frozen=True)
class Round:
    """What one round of the control plane came to, once it is committed and done.

    ``events`` counts the stream entries that were folded in it; ``commit_seconds`` is how long their commit took,
    ``None`` where nothing was to be written. ``notes`` is what has become of notes. ``studies`` says where those at
    hand stand, each with its queue, ``slots`` how many are busy and idle; ``suspended`` is how many are suspended.
    """

    events: int
    commit_seconds: float | None
    batches: Mapping[str, Batch]
    notes: Mapping[str, NoteState]
    studies: Callable[[], Sequence[tuple[Progress, str]]]
    slots: Callable[[], tuple[int, int]]
    suspended: int = 0


Observer = Callable[[Round], None]
"""Is told of each round, by the loop itself: it has to be quick, and raises nothing."""


def unobserved(round: Round) -> None:
    """Takes no notice."""
    del round
