"""The models that trials have saved, as they are recorded; whether a host reaches their files is another question."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection, select

from orchestrator.model.attribute_keys import KEPT, RECORD, filename_of
from orchestrator.storage.optuna_tables import SYSTEM_ATTRS, TRIALS


@dataclass(frozen=True)
class StoredModel:
    """A model in the artifact store.

    Attributes:
        filename: What the objective called it.
        artifact_id: Its name in the store.
        size: Bytes.
        at: When it was stored, in seconds since the epoch.
    """

    study: str
    trial: int
    filename: str
    artifact_id: str
    size: int
    at: float


def read_models(connection: Connection, study: str, study_id: int) -> list[StoredModel]:
    """Returns the models of a study, by trial and time; one whose record another program has emptied is left out."""
    query = (
        select(TRIALS.c.number, SYSTEM_ATTRS.c.key, SYSTEM_ATTRS.c.value_json)
        .join(TRIALS, TRIALS.c.trial_id == SYSTEM_ATTRS.c.trial_id)
        .where(
            TRIALS.c.study_id == study_id,
            SYSTEM_ATTRS.c.key.like(f"{KEPT}%") | SYSTEM_ATTRS.c.key.like(f"{RECORD}%"),
        )
    )
    records: dict[str, str] = {}
    kept: dict[str, tuple[int, dict[str, object]]] = {}
    for number, key, text in connection.execute(query):
        value = json.loads(text)
        if key.startswith(RECORD):
            records[key.removeprefix(RECORD)] = filename_of(value)
        elif isinstance(value, dict) and value.get("kind") == "model":
            kept[key.removeprefix(KEPT)] = number, value
    found = [
        StoredModel(study, number, records[id], id, int(str(value.get("size", 0))), float(str(value.get("at", 0.0))))
        for id, (number, value) in kept.items()
        if records.get(id)
    ]
    return sorted(found, key=lambda each: (each.trial, each.at, each.filename))
