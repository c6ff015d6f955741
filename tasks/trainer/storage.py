"""As much of a storage as a trial on a worker has: the records of files that the objective uploads by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from tasks.codec import is_location
from tasks.contract import MAX_FILENAME, Artifact, ArtifactRef

PREFIX: Final = "artifacts:"
"""How the keys begin under which Optuna keeps records of artifacts."""


class WorkerStorage:
    """``trial.storage`` on a worker, for ``optuna.artifacts``; there is no database behind it.

    ``upload_artifact(artifact_store=…, file_path=…, study_or_trial=trial)`` puts the file into the objective's own
    store; the record goes to the control plane.

    Args:
        number: The trial's; its id here.
        send: Writes a frame to the keeper.
    """

    def __init__(self, number: int, send: Callable[[Artifact], None]) -> None:
        self._number = number
        self._send = send
        self._records: dict[str, str] = {}

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Passes on the record of an artifact.

        Raises:
            ValueError: it is something else, or not as Optuna writes it.
        """
        self._check(trial_id)
        ref = _read(key, value)
        self._records[key] = value
        self._send(Artifact(ref=ref))

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        """Returns the records that this attempt has made."""
        self._check(trial_id)
        return dict(self._records)

    def _check(self, trial_id: int) -> None:
        if trial_id != self._number:
            raise ValueError("on a worker trial.storage knows its own trial only")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"on a worker trial.storage has no '{name}': it is there for optuna.artifacts only")


def _read(key: str, value: Any) -> ArtifactRef:
    if not key.startswith(PREFIX):
        raise ValueError(f"'{key:.80}' cannot be set on a worker: trial.storage is there for optuna.artifacts only")
    try:
        record = json.loads(value)
        ref = ArtifactRef(
            id=str(record["artifact_id"]),
            filename=str(record["filename"]),
            mimetype=str(record["mimetype"]),
            encoding=None if record["encoding"] is None else str(record["encoding"]),
            kind="elsewhere",
        )
    except (TypeError, ValueError, KeyError):
        raise ValueError(f"{value!r:.80} is not the record of an artifact") from None
    texts = (ref.id, ref.filename, ref.mimetype, ref.encoding or "")
    plain = all(len(text) <= MAX_FILENAME and text.isprintable() for text in texts)
    if not plain or not is_location(ref.id) or "/" in ref.id or key != PREFIX + ref.id:
        raise ValueError(f"the record of '{ref.filename!r:.80}' cannot be stored: printable text, not too long")
    return ref
