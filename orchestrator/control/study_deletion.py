"""Deletion of studies: their files go first, their rows once the files are gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from orchestrator.common.errors import BadInput
from orchestrator.control.ports import Calendar, Deleter, Reports
from orchestrator.engine.outputs import Sweep


@dataclass(eq=False)
class StudyDeletion:
    """Deletes the files of studies in the background.

    No file is left unknown: while one is there, so are the rows that name it, and the same deletion can be begun again
    by the next process.

    Attributes:
        forget: Drops the keys in Redis of a study with these attempts.
    """

    calendar: Calendar
    checkpoints: Deleter
    artifacts: Deleter
    reports: Reports
    forget: Callable[[str, Iterable[str]], None]
    _begun: set[str] = field(default_factory=set, init=False)

    def uid_of(self, study: str) -> str:
        """Returns the unique id of a study; empty for one that this program has never run, or that is not there."""
        try:
            return self.calendar.attempts_of(study)[0]
        except BadInput:
            return ""

    def delete_files(self, study: str) -> bool:
        """Begins to delete the files of a study, if that has not begun; returns whether they are gone."""
        if study not in self._begun:
            try:
                uid, tokens = self.calendar.attempts_of(study)
            except BadInput:
                pass  # another process has deleted it
            else:
                self.checkpoints.delete_folder(uid)
                self.artifacts.sweep(Sweep(frozenset(tokens), frozenset()))
                self.forget(study, tokens)
            self.reports.delete(study)
            self._begun.add(study)
        return self.idle

    def end(self, study: str) -> None:
        """Notes that the rows of a study are gone, or that it stays after all."""
        self._begun.discard(study)

    @property
    def has_news(self) -> bool:
        """Whether the files are gone of a study whose rows are still there."""
        return bool(self._begun) and self.idle

    @property
    def idle(self) -> bool:
        """Whether no deletion is pending."""
        return self.checkpoints.idle and self.artifacts.idle and self.reports.idle
