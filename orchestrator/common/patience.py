"""Requests to a server: made once, or repeated while the server is away."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from orchestrator.common.errors import NotReached, ServerTrouble
from tasks.server_errors import Contact, Outages, unavailable

AWAY_SECONDS = 0.5
"""Pause between two tries."""

FIRST_TRIES = 3
"""Tries of a server that was never reached, before its URL counts as wrong."""

Result = TypeVar("Result")


class Patient(Protocol):
    """Calls a function that asks a server, and may retry it; returns its result."""

    def __call__(self, ask: Callable[[], Result], /) -> Result: ...


def at_once(ask: Callable[[], Result]) -> Result:
    """Calls once, without a retry."""
    return ask()


class Patience:
    """Repeats a request while a server is away.

    Args:
        check: Called before each further try; an exception of it ends the waiting.
        outages: Logs which server is away, and when it is back.
        first_tries: Tries of a server that was never reached.
        limit: Seconds after which a server that is still away is given up.
        sleep: Waits between two tries.
    """

    def __init__(
        self,
        check: Callable[[], None],
        outages: Outages | None = None,
        *,
        first_tries: int = FIRST_TRIES,
        limit: float = math.inf,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._check = check
        self._outages = outages
        self._first_tries = first_tries
        self._limit = limit
        self._sleep = sleep
        self._met = False

    def __call__(self, ask: Callable[[], Result]) -> Result:
        """Returns the answer.

        Raises:
            ServerTrouble: the server was away for too long.
            NotReached: it has never answered, and so is wrongly named.
            Exception: any other one of ``ask``, such as that of a server that refuses this client.
        """
        tries, since = 0, time.monotonic()
        while True:
            away: Exception
            try:
                answer = ask()
            except NotReached as error:
                tries += 1
                if not self._met and tries >= self._first_tries:
                    raise
                away = error
            except Exception as error:
                found = unavailable(error)
                if found is None or found.contact is Contact.REFUSED:
                    raise
                if self._outages is not None:
                    self._outages.begin(found)
                self._met, away = True, error
            else:
                if self._outages is not None:
                    self._outages.end()
                self._met = True
                return answer
            if time.monotonic() - since > self._limit:
                raise ServerTrouble(f"{away}; it was tried for {self._limit:g} s", 1)
            self._sleep(AWAY_SECONDS)
            self._check()
