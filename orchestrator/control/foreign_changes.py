"""Changes that other processes make to the studies of this database: a notebook, a dashboard, a person."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.common.errors import ForeignWrite, StudyGone
from orchestrator.control.effects import Effects
from orchestrator.control.engine_registry import EngineRegistry
from orchestrator.control.liveness import HeartbeatTracker
from orchestrator.control.ports import Stream, StudyRepository
from orchestrator.model.lifecycle import AttemptState
from tasks.contract import Confirmation, Verdict

log = logging.getLogger(__name__)


@dataclass(eq=False)
class ForeignChanges:
    """Goes on from what others have written; ``docs/architecture.md`` has a table of it."""

    store: StudyRepository
    events: Stream
    studies: EngineRegistry
    effects: Effects
    heartbeats: HeartbeatTracker

    def give_up(self, name: str, error: Exception) -> None:
        """Goes on from a batch that was not written: what is in memory of its study does not hold."""
        if isinstance(error, ForeignWrite):
            log.warning("study %s: %s; reading it again", name, error, extra={"action": "foreign_write", "study": name})
            self._read_again(name, name)
        elif isinstance(error, StudyGone):
            self._find(name, self.store.names())
        else:
            self.studies.suspend(name, error)

    def look(self) -> None:
        """Finds the studies that were deleted or renamed, also those without anything to write."""
        names = self.store.names()
        for engine in self.studies:
            self._find(engine.name, names)
        for name in self.studies.suspended.keys() - set(names.values()):
            self.studies.forget(name)

    def _find(self, name: str, names: Mapping[str, str]) -> None:
        """Goes on with a study under the name that it has now, or lets go of it where it is no more."""
        now = names.get(self.studies[name].uid)
        if now is None:
            self._let_go(name)
        elif now != name:
            log.warning("study %s is called %s now", name, now, extra={"action": "study_renamed", "study": now})
            self._read_again(name, now)

    def _read_again(self, known_as: str, name: str) -> None:
        self.effects.withdraw(known_as)
        self.events.read_pending_again()
        if name != known_as:
            self.studies.forget(known_as)
        with self.studies.guarded(name):
            self.studies.take_up(name)

    def _let_go(self, name: str) -> None:
        log.warning("study %s was deleted: its runners stop", name, extra={"action": "study_deleted", "study": name})
        self.effects.withdraw(name)
        engine = self.studies.forget(name)
        if engine is not None:
            verdict = Verdict(cause="the study was deleted")
            live = engine.attempts.in_state(*AttemptState)
            self.effects.stop(
                {row.token: Confirmation(runner=row.runner, seq=row.acknowledged, verdict=verdict) for row in live}
            )
            self.heartbeats.forget(row.token for row in engine.attempts)
