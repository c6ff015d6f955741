"""Telling whoever watches a study what became of it: what happened at once, how far it is a few times a second."""

from __future__ import annotations

import math
from collections.abc import Mapping

from orchestrator.control.engine_registry import EngineRegistry
from orchestrator.control.ports import Stream
from orchestrator.engine.outputs import Batch

PROGRESS_SECONDS = 0.1
"""Between two tellings of how far a study is, at the least, where nothing else is to be told."""


class ProgressPublisher:
    """Tells; nothing of it has to arrive.

    Args:
        events: Where watchers listen.
        studies: The studies at hand.
    """

    def __init__(self, events: Stream, studies: EngineRegistry) -> None:
        self._events = events
        self._studies = studies
        self._owed: set[str] = set()
        self._told: dict[str, float] = {}

    def tell(self, batches: Mapping[str, Batch], at: float) -> None:
        """Tells what a committed round has brought, ``at`` being the time."""
        for name, batch in batches.items():
            if batch.changes:
                self._owed.add(name)
            due = at - self._told.get(name, 0.0) >= PROGRESS_SECONDS
            if name not in self._studies:
                continue
            if batch.notices or batch.changes.study_state or (due and name in self._owed):
                with self._studies.guarded(name):
                    self._events.notify(name, [*batch.notices, self._studies[name].progress()])
                self._told[name] = at
                self._owed.discard(name)
        for words in self._studies.take_last_words():
            self._events.notify(words.study, [words])
            self._owed.discard(words.study)

    @property
    def patience(self) -> float:
        """Seconds after which there is something to tell, whether anything happens or not."""
        return PROGRESS_SECONDS if self._owed else math.inf
