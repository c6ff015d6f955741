"""The names of the studies, at once: a shell that completes a word has no time to wait for Optuna and SQLAlchemy.

So this asks the drivers themselves. Its one statement knows one name of Optuna's tables; ``tests/contract`` holds it to
what Optuna says.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import Final
from urllib.parse import quote

from orchestrator.common.settings import load_settings

_MOST: Final = 1_000
_SECONDS: Final = 2
_NEWEST_FIRST: Final = f"SELECT study_name FROM studies ORDER BY study_id DESC LIMIT {_MOST}"


def study_names() -> list[str]:
    """Returns the names of the studies, the newest first, at most ``_MOST``; raises whatever goes wrong."""
    settings = load_settings()
    if settings.storage_url is None:
        return _of_sqlite(str(settings.data_dir.resolve() / "studies.db"))
    scheme, _, rest = settings.storage_url.partition("://")
    if scheme.startswith("sqlite"):
        return _of_sqlite(re.sub(r"\?.*", "", rest.removeprefix("/")))
    return _of_postgresql(f"postgresql://{rest}")


def _of_sqlite(path: str) -> list[str]:
    # Only to be read: a look must not make a file.
    uri = f"file:{quote(path)}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=_SECONDS)) as connection:
        return [name for (name,) in connection.execute(_NEWEST_FIRST)]


def _of_postgresql(url: str) -> list[str]:
    import psycopg

    with psycopg.connect(url, connect_timeout=_SECONDS) as connection:
        return [name for (name,) in connection.execute(_NEWEST_FIRST)]
