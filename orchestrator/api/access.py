"""Access to the studies that the settings name: their database, and the control plane that handles them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from orchestrator.common.advice import how_to
from orchestrator.common.errors import BadInput, OrchestratorError, ServerTrouble

if TYPE_CHECKING:
    from orchestrator.common.patience import Patience
    from orchestrator.common.settings import Settings
    from orchestrator.messaging.command_client import CommandClient
    from orchestrator.queries.study_reader import StudyReader

Reader = Callable[[], AbstractContextManager["StudyReader"]]
"""Opens what reads studies."""

ANSWER_SECONDS = 10.0
"""Time that a command waits for the control plane's answer."""

OUTAGE_SECONDS = 60.0
"""Time for which what follows a study goes on without a server."""


@contextmanager
def open_reader(settings: Settings) -> Iterator[StudyReader]:
    """Opens the database for reading.

    Raises:
        BadInput: there is none, it cannot be reached, it holds no studies, or it is of another version.
        ServerTrouble: its server refuses this client, or does not answer now.
    """
    from orchestrator.common.data_folder import storage_url_of
    from orchestrator.queries.readonly import open_study_reader

    with server_errors_in_words(), open_study_reader(storage_url_of(settings)) as reader:
        yield reader


def has_control_plane(settings: Settings, study: str) -> bool:
    """Returns whether a control plane of the study can be reached: a fleet is configured, or a `run` in the data folder
    looks after it."""
    from orchestrator.common.file_lock import has_run

    return settings.redis_url is not None or has_run(settings.data_dir, study)


@contextmanager
def command_client(settings: Settings, *, prepare: bool = False) -> Iterator[CommandClient]:
    """Yields a client that sends commands to the control plane, or stores them for the next one; see ``open_client``.

    Raises ``ServerTrouble`` as ``open_reader`` does.
    """
    from orchestrator.messaging.command_client import open_client

    with server_errors_in_words(), open_client(settings, prepare=prepare) as client:
        yield client


def fleet_urls(settings: Settings) -> tuple[str, str]:
    """Returns the URLs of the fleet's Redis and database.

    Raises:
        BadInput: one of them is not set.
    """
    for variable, value in (
        ("ORCHESTRATOR_REDIS_URL", settings.redis_url),
        ("ORCHESTRATOR_STORAGE_URL", settings.storage_url),
    ):
        if value is None:
            raise BadInput(variable, "is not set", f"a fleet needs both URLs; '{how_to('run')}' alone needs neither")
    return str(settings.redis_url), str(settings.storage_url)


def server_trouble(error: Exception) -> ServerTrouble | None:
    """Returns a library's error about a server in words; ``None`` for any other error."""
    from tasks.server_errors import Contact, unavailable

    if (found := unavailable(error)) is None:
        return None
    name = "Redis" if found.server == "redis" else "the database"
    if found.contact is Contact.REFUSED:
        return ServerTrouble(f"{name} refuses this client: {found.reason}; check its URL and the rights there", 2)
    return ServerTrouble(f"{name} is not available now: {found.reason}; try again in a moment", 1)


@contextmanager
def server_errors_in_words() -> Iterator[None]:
    """Raises ``ServerTrouble`` instead of a library's error about a server."""
    try:
        yield
    except OrchestratorError:
        raise
    except Exception as error:
        if (known := server_trouble(error)) is None:
            raise
        raise known from error


def patience(check: Callable[[], None] = lambda: None) -> Patience:
    """Returns what repeats a request while a server is away, for ``OUTAGE_SECONDS``; see ``Patience``."""
    from orchestrator.common.patience import Patience

    return Patience(check, limit=OUTAGE_SECONDS)
