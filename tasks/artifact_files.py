"""What keeper and trainer both know of where an attempt's models and files lie."""

from __future__ import annotations

from typing import Final

MODELS: Final = "models"
FILES: Final = "files"
"""Names of the folders within that of an attempt: what ``trial.save_model`` writes, and ``trial.artifact_dir``."""

NOT_KEPT = "orchestrator_not_kept"
"""User attribute of a trial: the models that it saved and that could not be stored, each with the reason."""
