"""Repeats a request while a server is not available: its disk is full, or it is busy."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from orchestrator.terminal.views import View
from tasks.server_errors import Contact, Outage, unavailable

log = logging.getLogger(__name__)

_SHOWN = (log, logging.getLogger("orchestrator.storage.database"))
"""Loggers whose lines the view shows: outages, and the upgrade of the database."""

PAUSE_SECONDS = 0.25

_changing = threading.Lock()
_handlers: list[logging.Handler] = []
_before: list[tuple[int, bool]] = []
"""Level and propagation of the loggers before the first handler of ours."""

Result = TypeVar("Result")


class ServerRetry:
    """Repeats a request until the server answers; logs a line when that begins and one when it ends.

    Args:
        check: Called between two tries; an exception of it ends the waiting.
    """

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def __call__(self, ask: Callable[[], Result]) -> Result:
        outage: Outage | None = None
        while True:
            try:
                answer = ask()
            except Exception as error:
                found = unavailable(error)
                if found is None or found.contact is Contact.REFUSED:
                    raise
                outage = outage or Outage(log, found.server)
                outage.begin(found)
            else:
                if outage is not None:
                    outage.end()
                return answer
            self._check()
            time.sleep(PAUSE_SECONDS)


@contextmanager
def outages_shown(view: View) -> Iterator[None]:
    """Shows log lines about outages and upgrades in the view, which has the terminal."""
    handler = _ViewHandler(view)
    with _changing:
        # Threads may each run a search: the first one finds the loggers as the program has them.
        if not _handlers:
            _before[:] = [(each.level, each.propagate) for each in _SHOWN]
        _handlers.append(handler)
        for each in _SHOWN:
            each.addHandler(handler)
            each.setLevel(logging.INFO)
            each.propagate = False
    try:
        yield
    finally:
        with _changing:
            _handlers.remove(handler)
            for each, (level, propagate) in zip(_SHOWN, _before, strict=True):
                each.removeHandler(handler)
                if not _handlers:
                    each.setLevel(level)
                    each.propagate = propagate


class _ViewHandler(logging.Handler):
    def __init__(self, view: View) -> None:
        super().__init__()
        self._view = view

    def emit(self, record: logging.LogRecord) -> None:
        self._view.say(record.getMessage())
