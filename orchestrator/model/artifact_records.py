"""The records of trials' files: system attributes of the trials, as Optuna and as this program write them."""

from __future__ import annotations

import json
from typing import Any, Final

RECORD: Final = "artifacts:"
"""Prefix of the system attributes in which Optuna keeps the records of artifacts."""

KEPT: Final = "orchestrator:artifact:"
"""Prefix of the system attributes of artifacts in our store: kind, size in bytes, time of upload."""


def filename_of(record: Any) -> str:
    """Returns the name in a record of Optuna's; empty where another program has emptied it, as the dashboard does when
    a person deletes the file."""
    try:
        return str(json.loads(record)["filename"])
    except (TypeError, ValueError, KeyError):
        return ""
