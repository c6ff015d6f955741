"""What a process does at its start while a server does not do what it is asked."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.common.errors import NotReached
from tasks.server_errors import Contact, Outages, unavailable

AWAY_SECONDS = 0.5
"""Between two tries."""

FIRST_TRIES = 3
"""So often a server that could not be reached yet is tried, before that is taken for a wrong URL."""


def await_servers(step: Callable[[], None], outages: Outages, pause: Callable[[float], bool]) -> bool:
    """Does one step of a start, again and again while a server does not do it at the moment.

    Args:
        step: Asks something of a server.
        outages: Takes what is not available.
        pause: Waits so many seconds; returns whether the start is to be given up.

    Returns:
        Whether the step was done.

    Raises:
        BadInput: as ``step`` does. That it cannot be reached is an outage only of a server that has answered before.
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
