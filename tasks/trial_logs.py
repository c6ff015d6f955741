"""Where a worker keeps what a trial prints."""

from __future__ import annotations

import hashlib
from pathlib import Path


def trial_log(data: Path, study: str, number: int) -> Path:
    """Returns the log file of trial ``number`` below the data folder ``data``.

    Studies have a folder of their own beside the logs of the processes, so that a study may be called
    ``worker.log``.
    """
    return data / "logs" / "studies" / _folder(study) / f"trial-{number:05d}.log"


def _folder(study: str) -> str:
    """Returns the folder's name: the study's, told apart where a file system takes upper and lower case for one."""
    if study == study.lower():
        return study
    # No name of a study holds a plus sign.
    return f"{study}+{hashlib.blake2b(study.encode(), digest_size=4).hexdigest()}"
