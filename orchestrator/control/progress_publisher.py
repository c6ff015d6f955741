"""Publication to the watchers of a study: notices at once, its progress a few times a second."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from orchestrator.control.engine_registry import EngineRegistry
from orchestrator.control.ports import Stream
from orchestrator.control.study_boundary import is_of_the_study
from orchestrator.engine.outputs import Batch
from orchestrator.engine.study import StudyEngine
from orchestrator.model.attribute_keys import SILENT
from orchestrator.model.lifecycle import AttemptState
from orchestrator.model.progress_events import Sent

PROGRESS_SECONDS = 0.1
"""Shortest time between two notices of a study's progress, unless a trial has ended."""

FEW = 16
"""Number of slots up to which a notice has all lines; above it, only the lines that changed."""

CHANGES_PER_SECOND = 1000
"""Most changed lines that are sent in a second. A fleet of a thousand slots whose lines all change gets one notice a
second, because a notice of a thousand lines takes some 10 ms of the loop."""

TELLINGS_PER_SECOND = 200
"""Tellings of all studies together in a second, at the most, so that many studies do not take the loop's time."""

LINES_PER_SECOND = 100
"""Of more slots all lines are told now and then, so many a second on average: to a watcher that missed some, and to
one of an earlier version."""


@dataclass(eq=False)
class ProgressPublisher:
    """Publishes the progress of studies to their watchers; nothing of it has to arrive."""

    events: Stream
    studies: EngineRegistry
    # By study: the trials whose lines may have changed since they were told.
    _owed: dict[str, set[int]] = field(default_factory=dict, init=False)
    _told: dict[str, float] = field(default_factory=dict, init=False)
    _all_told: dict[str, float] = field(default_factory=dict, init=False)

    def tell(self, batches: Mapping[str, Batch], at: float) -> None:
        """Tells what a committed round has brought; ``at`` is the wall time."""
        for name, batch in batches.items():
            if batch.changes:
                owed = self._owed.setdefault(name, set())
                owed.update(row.trial for row in batch.changes.attempts.values())
                owed.update(row.trial for row in batch.changes.acknowledged.values())
                owed.update(trial for trial, key in batch.changes.system_attrs if key == SILENT)
        told: dict[str, list[Sent]] = {}
        for name in {**batches, **self._owed}:
            if name not in self.studies:
                self._owed.pop(name, None)
                continue
            with self.studies.guarded(name):
                if notices := self._due(self.studies[name], batches.get(name), at):
                    told[name] = notices
        for words in self.studies.take_last_words():
            told.setdefault(words.study, []).append(words)
            self._owed.pop(words.study, None)
        self._publish(told)

    def _publish(self, told: Mapping[str, list[Sent]]) -> None:
        """Publishes the notices of all studies at once; where something of one cannot be, study by study."""
        try:
            self.events.notify(told)
        except Exception as error:
            if not is_of_the_study(error):
                raise
            for name, notices in told.items():
                with self.studies.guarded(name):
                    self.events.notify({name: notices})

    def _due(self, engine: StudyEngine, batch: Batch | None, at: float) -> list[Sent]:
        name, running = engine.name, engine.attempts.count(AttemptState.RUNNING)
        notices: list[Sent] = [] if batch is None else list(batch.notices)
        changed = batch is not None and batch.changes.study_state is not None
        pause = max(
            PROGRESS_SECONDS,
            len(self._owed) / TELLINGS_PER_SECOND,
            len(self._owed.get(name, ())) / CHANGES_PER_SECOND,
        )
        due = name in self._owed and at - self._told.get(name, 0.0) >= pause
        if not (changed or due or (notices and running <= FEW)):
            return notices
        self._told[name] = at
        owed = self._owed.pop(name, set())
        if changed or running <= FEW or at - self._all_told.get(name, 0.0) >= running / LINES_PER_SECOND:
            self._all_told[name] = at
            return [*notices, msgspec.structs.replace(engine.progress(), at=at)]
        return [*notices, engine.progress_change(owed)]

    @property
    def patience(self) -> float:
        """Seconds after which there is something to tell, whether anything happens or not."""
        return PROGRESS_SECONDS if self._owed else math.inf
