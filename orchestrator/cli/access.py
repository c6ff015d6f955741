"""How commands reach the database, and whoever looks after the studies in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.common.settings import Settings
    from orchestrator.messaging.command_client import Issuer
    from orchestrator.queries.study_reader import History

LOOKS_IN = (
    "Looks into the database of ORCHESTRATOR_STORAGE_URL; without it, into the one that `orchestrator run` keeps in "
    "ORCHESTRATOR_DATA_DIR [default: .orchestrator]."
)
"""Ends the help of the commands that look."""


def look() -> AbstractContextManager[History]:
    """Opens the database for a look; raises as ``open_history`` does."""
    from orchestrator.common.settings import load_settings

    settings = load_settings()
    from orchestrator.queries.readonly import open_history, url_of

    return open_history(url_of(settings))


def nobody_there(settings: Settings) -> bool:
    """Whether there is no control plane that could be told: none of a fleet, and no `run` in the data folder."""
    from orchestrator.common.file_lock import is_locked

    return settings.redis_url is None and not is_locked(settings.data_dir)


@contextmanager
def issuer(settings: Settings, *, prepare: bool = False) -> Iterator[Issuer]:
    """Yields what gives commands to the control plane, or leaves them for the next one.

    Whoever has something to say of a study has found it, and all tables with it; ``prepare`` makes what is missing.
    """
    from orchestrator.common.data_folder import redis_url_of
    from orchestrator.messaging.command_client import Issuer
    from orchestrator.queries.readonly import url_of
    from orchestrator.storage.command_table import Orders
    from orchestrator.storage.database import Database
    from tasks.app import connect

    with closing(Database(url_of(settings))) as database, ExitStack() as stack:
        if prepare:
            database.prepare()
        url = redis_url_of(settings)
        client = stack.enter_context(closing(connect(url))) if url else None
        yield Issuer(Orders(database), client)
