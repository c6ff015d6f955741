"""The checkpoints of a study's trials: those that a trial may resume from, and those that are no longer needed."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.model.changeset import CheckpointRow
from orchestrator.sampling.staged_storage import StagedStorage
from tasks.contract import CheckpointRef

KEPT = 2
"""Checkpoints kept of a trial that has not ended: should the newest turn out to be unreadable, there is one before."""


class Checkpoints:
    """Stages rows of what was saved, and gathers the locations of the files to delete once that is committed.

    Args:
        storage: Takes the changes.
        rows: What is stored, oldest first.
    """

    def __init__(self, storage: StagedStorage, rows: Iterable[CheckpointRow]) -> None:
        self._storage = storage
        self._of: dict[int, list[CheckpointRow]] = {}
        self._discarded: list[str] = []
        for row in rows:
            self._of.setdefault(row.trial, []).append(row)

    def trials(self) -> list[int]:
        """Returns the numbers of the trials that have checkpoints."""
        return sorted(self._of)

    def of(self, trial: int) -> tuple[CheckpointRef, ...]:
        """Returns the trial's checkpoints, newest first."""
        return tuple(
            CheckpointRef(step=row.step, location=row.location, digest=row.digest, size=row.size)
            for row in reversed(self._of.get(trial, ()))
        )

    def add(self, trial: int, ref: CheckpointRef, at: float) -> None:
        """Takes in a checkpoint; the oldest one beyond ``KEPT`` is superseded by it."""
        kept = self._of.setdefault(trial, [])
        row = CheckpointRow(trial, ref.step, ref.location, ref.digest, ref.size, at)
        # A location names attempt and step, so the same one again is the same file, saved anew.
        kept[:] = [each for each in kept if each.location != row.location]
        kept.append(row)
        self._storage.changes.add_checkpoint(row)
        while len(kept) > KEPT:
            self._drop(kept.pop(0))

    def forget(self, trial: int) -> None:
        """Discards the checkpoints of a trial that has ended."""
        for row in self._of.pop(trial, ()):
            self._drop(row)

    def refuse(self, trial: int, ref: CheckpointRef) -> None:
        """Discards a checkpoint that came too late to be of use."""
        if all(row.location != ref.location for row in self._of.get(trial, ())):
            self._discarded.append(ref.location)

    def take_discarded(self) -> list[str]:
        """Returns the locations to be deleted, after the commit."""
        discarded, self._discarded = self._discarded, []
        return discarded

    def _drop(self, row: CheckpointRow) -> None:
        self._storage.changes.discard_checkpoint(row)
        self._discarded.append(row.location)
