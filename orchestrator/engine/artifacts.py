"""The artifacts of a study's trials: their records, and the files that are no longer needed."""

from __future__ import annotations

import json
from typing import NamedTuple

from optuna.trial import FrozenTrial

from orchestrator.model.attribute_keys import KEPT, RECORD, filename_of
from orchestrator.model.changeset import AttemptRow
from orchestrator.sampling.best_trials import rank
from orchestrator.sampling.staged_storage import StagedStorage
from tasks.codec import is_artifact_of
from tasks.contract import ArtifactRef


class Kept(NamedTuple):
    """A file of a trial in our store; ``at`` in seconds since the epoch."""

    id: str
    filename: str
    kind: str
    at: float


class Artifacts:
    """Stages records of what was kept, and gathers the ids of what may be deleted once that is committed.

    Files that an objective has put into a store of its own are recorded, and never deleted.

    Args:
        storage: Holds the trials, their records among them; takes the changes.
    """

    def __init__(self, storage: StagedStorage) -> None:
        self._storage = storage
        self._of: dict[int, list[Kept]] = {}
        self._ids: set[str] = set()
        self._discarded: list[str] = []
        self._settled = False
        for trial in storage.get_all_trials(0, deepcopy=False):
            if found := kept_of(trial):
                self._of[trial.number] = found
            self._ids.update(key.removeprefix(RECORD) for key in trial.system_attrs if key.startswith(RECORD))

    def add(self, row: AttemptRow, ref: ArtifactRef, at: float) -> bool:
        """Takes in a file of an attempt; one that the trial has under the same name is superseded by it.

        Returns whether the file is the attempt's own.
        """
        ours = ref.kind != "elsewhere"
        if ref.id in self._ids or (ours and not is_artifact_of(row.token, ref.id)):
            return False
        self._ids.add(ref.id)
        meta = {
            "artifact_id": ref.id,
            "filename": ref.filename,
            "mimetype": ref.mimetype,
            "encoding": ref.encoding,
        }
        # As text within the JSON, which is how Optuna writes it.
        self._storage.set_record(row.trial, RECORD + ref.id, json.dumps(meta))
        if ours:
            files = self._of.setdefault(row.trial, [])
            for older in [each for each in files if (each.kind, each.filename) == (ref.kind, ref.filename)]:
                self._drop(row.trial, older)
            self._of.setdefault(row.trial, files).append(Kept(ref.id, ref.filename, ref.kind, at))
            self._storage.set_record(row.trial, KEPT + ref.id, {"kind": ref.kind, "size": ref.size, "at": at})
            self._settled = False
        return True

    def refuse(self, row: AttemptRow, ref: ArtifactRef) -> None:
        """Discards a file of a runner that was superseded."""
        if ref.kind != "elsewhere" and is_artifact_of(row.token, ref.id) and ref.id not in self._ids:
            self._discarded.append(ref.id)

    def unsettle(self) -> None:
        """Trials have ended, or other models are to be kept than before."""
        self._settled = False

    def settle(self, keep_models: int | None, *, maximize: bool) -> None:
        """Drops the models of all trials that have ended, but those of the ``keep_models`` best completed ones.

        Of equally good trials the first one is better, and one that violates its constraints is worse than any that
        does not.
        """
        if self._settled:
            return
        self._settled = True
        if keep_models is None:
            return
        holders = [number for number, files in self._of.items() if any(each.kind == "model" for each in files)]
        ended = [trial for trial in map(self._storage.get_trial, holders) if trial.state.is_finished()]
        good, others = rank(ended, maximize=maximize)
        best = {trial.number for trial in [*good, *others][:keep_models]}
        for trial in ended:
            if trial.number not in best:
                for each in [each for each in self._of[trial.number] if each.kind == "model"]:
                    self._drop(trial.number, each)

    def take_discarded(self) -> list[str]:
        """Returns the ids of the files to be deleted, after the commit."""
        discarded, self._discarded = self._discarded, []
        return discarded

    def ids(self) -> frozenset[str]:
        """Returns the ids of all files that are recorded."""
        return frozenset(self._ids)

    def _drop(self, number: int, kept: Kept) -> None:
        for prefix in (RECORD, KEPT):
            self._storage.set_record(number, prefix + kept.id, None)
        self._ids.discard(kept.id)
        self._of[number].remove(kept)
        if not self._of[number]:
            del self._of[number]
        self._discarded.append(kept.id)


def kept_of(trial: FrozenTrial) -> list[Kept]:
    """Returns the files of a trial that are in our store, oldest first."""
    found = []
    for key, value in trial.system_attrs.items():
        if key.startswith(KEPT) and isinstance(value, dict):
            id = key.removeprefix(KEPT)
            filename = filename_of(trial.system_attrs.get(RECORD + id))
            found.append(Kept(id, filename, str(value.get("kind")), float(value.get("at", 0.0))))
    return sorted(found, key=lambda each: (each.at, each.filename))
