"""Waiting at the start of a process until its servers answer."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.common.errors import NotReached
from orchestrator.common.patience import AWAY_SECONDS, FIRST_TRIES
from tasks.server_errors import Contact, Outages, unavailable


def await_servers(step: Callable[[], None], outages: Outages, pause: Callable[[float], bool]) -> bool:
    """Does one step of a start, and repeats it while a server is not available.

    Args:
        step: Asks something of a server.
        outages: Logs which server is not available.
        pause: Waits so many seconds; returns whether to give up.

    Returns:
        Whether the step was done.

    Raises:
        BadInput: as ``step`` does. A server that has never answered counts as wrongly named after ``FIRST_TRIES``.
    """
    tries, met = 0, False
    while True:
        try:
            step()
        except NotReached:
            tries += 1
            if not met and tries == FIRST_TRIES:
                raise
        except Exception as error:
            found = unavailable(error)
            if found is None or found.contact is Contact.REFUSED:
                raise
            met = True
            outages.begin(found)
        else:
            return True
        if pause(AWAY_SECONDS):
            return False
