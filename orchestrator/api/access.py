"""Access to the studies that the settings name: their database, and the control plane that handles them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

from orchestrator.common.advice import how_to
from orchestrator.common.errors import BadInput, NotReached, OrchestratorError
from orchestrator.common.patience import AWAY_SECONDS, FIRST_TRIES, Result

if TYPE_CHECKING:
    from orchestrator.common.settings import Settings
    from orchestrator.messaging.command_client import CommandClient
    from orchestrator.queries.study_reader import StudyReader

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


def has_control_plane(settings: Settings) -> bool:
    """Returns whether a control plane can be reached: a fleet is configured, or a `run` works in the data folder."""
    from orchestrator.common.file_lock import is_locked

    return settings.redis_url is not None or is_locked(settings.data_dir)


@contextmanager
def command_client(settings: Settings, *, prepare: bool = False) -> Iterator[CommandClient]:
    """Yields a client that sends commands to the control plane, or stores them for the next one.

    A command about a study that was found finds all tables, too; ``prepare`` creates those that are missing.
    """
    from orchestrator.common.data_folder import redis_url_of, storage_url_of
    from orchestrator.messaging.command_client import CommandClient
    from orchestrator.storage.command_table import CommandTable
    from orchestrator.storage.database import Database
    from tasks.app import connect

    with server_errors_in_words(), closing(Database(storage_url_of(settings))) as database, ExitStack() as stack:
        if prepare:
            database.prepare()
        url = redis_url_of(settings)
        client = stack.enter_context(closing(connect(url))) if url else None
        yield CommandClient(CommandTable(database), client)


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


class ServerTrouble(OrchestratorError):
    """A server refuses this client (``exit_code`` 2), or does not answer now and may in a moment (1)."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


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


class Patience:
    """Repeats a request while a server is away, for ``OUTAGE_SECONDS``; one that never answered counts as wrongly named
    after a few tries.

    Args:
        check: Called between two tries; an exception of it ends the waiting.
    """

    def __init__(self, check: Callable[[], None] = lambda: None) -> None:
        self._check = check
        self._met = False

    def __call__(self, ask: Callable[[], Result]) -> Result:
        """Returns the answer.

        Raises:
            ServerTrouble: the server was away for too long, or refuses this client.
            BadInput: what ``ask`` raises, such as for a server that is not reached at all.
        """
        tries, since = 0, time.monotonic()
        while True:
            try:
                with server_errors_in_words():
                    answer = ask()
            except NotReached as error:
                tries += 1
                if not self._met and tries == FIRST_TRIES:
                    raise
                _check_outage(error, since)
            except ServerTrouble as error:
                if error.exit_code != 1:
                    raise
                self._met = True
                _check_outage(error, since)
            else:
                self._met = True
                return answer
            self._check()
            time.sleep(AWAY_SECONDS)


def _check_outage(error: OrchestratorError, since: float) -> None:
    if time.monotonic() - since > OUTAGE_SECONDS:
        raise ServerTrouble(f"{error}; it was tried for {OUTAGE_SECONDS:g} s", 1) from None
