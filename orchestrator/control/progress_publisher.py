"""Publication to the watchers of a study: notices at once, its progress a few times a second."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.control.engine_registry import EngineRegistry
from orchestrator.control.ports import Stream
from orchestrator.engine.outputs import Batch

PROGRESS_SECONDS = 0.1
"""Between two tellings of how far a study is, at the least, where nothing else is to be told."""


@dataclass(eq=False)
class ProgressPublisher:
    """Publishes the progress of studies to their watchers; nothing of it has to arrive."""

    events: Stream
    studies: EngineRegistry
    _owed: set[str] = field(default_factory=set, init=False)
    _told: dict[str, float] = field(default_factory=dict, init=False)

    def tell(self, batches: Mapping[str, Batch], at: float) -> None:
        """Tells what a committed round has brought, ``at`` being the time."""
        for name, batch in batches.items():
            if batch.changes:
                self._owed.add(name)
            due = at - self._told.get(name, 0.0) >= PROGRESS_SECONDS
            if name not in self.studies:
                continue
            if batch.notices or batch.changes.study_state or (due and name in self._owed):
                with self.studies.guarded(name):
                    self.events.notify(name, [*batch.notices, self.studies[name].progress()])
                self._told[name] = at
                self._owed.discard(name)
        for words in self.studies.take_last_words():
            self.events.notify(words.study, [words])
            self._owed.discard(words.study)

    @property
    def patience(self) -> float:
        """Seconds after which there is something to tell, whether anything happens or not."""
        return PROGRESS_SECONDS if self._owed else math.inf
