"""The places of files in the data folder."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from orchestrator.common.file_lock import is_locked
from orchestrator.common.settings import Settings


def _url_of_running(folder: Path) -> str | None:
    """Returns the URL of the server that was last started in ``folder``; ``None`` for none."""
    try:
        lines = (folder / "server.conf").read_text().splitlines()
    except OSError:
        return None
    options = dict(line.split(" ", 1) for line in lines if " " in line)
    return f"redis://:{options['requirepass']}@127.0.0.1:{options['port']}/0"


def database_file(settings: Settings) -> Path:
    """Returns the SQLite file that `run` keeps in the data folder where no other database is configured."""
    return settings.data_dir.resolve() / "studies.db"


def storage_url_of(settings: Settings) -> str:
    """Returns the configured database, or else the file that `run` keeps in the data folder."""
    return settings.storage_url or f"sqlite:///{database_file(settings)}"


def redis_url_of(settings: Settings) -> str | None:
    """Returns the configured server, or else that of the `run` that works in the data folder; ``None`` for none."""
    if settings.redis_url is None and is_locked(settings.data_dir):
        return _url_of_running(settings.data_dir / "redis")
    return settings.redis_url


_LONGEST = 80


def folder_of(data_dir: Path, study: str) -> Path:
    """Returns the default folder of a study's report."""
    return data_dir / "reports" / _safe(study)


def _safe(study: str) -> str:
    """Returns a safe folder name: the study's name if it is safe, else its safe characters and a digest."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", study).lstrip(".-")[:_LONGEST]
    if plain and plain == study:
        return plain
    digest = hashlib.sha256(study.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain}-{digest}" if plain else digest
