"""Repeats a request while a server is not available: its disk is full, or it is busy."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orchestrator.common.patience import Patience
from orchestrator.terminal.views import View
from tasks.server_errors import Outages

log = logging.getLogger(__name__)

_SHOWN = (log, logging.getLogger("orchestrator.storage.database"))
"""Loggers whose lines the view shows: outages, and the upgrade of the database."""

_changing = threading.Lock()
_handlers: list[logging.Handler] = []
_before: list[tuple[int, bool]] = []
"""Level and propagation of the loggers before the first handler of ours."""


def server_retry(check: Callable[[], None]) -> Patience:
    """Returns what repeats a request until the server answers, and logs how long it was away.

    Args:
        check: Called before each further try; an exception of it ends the waiting.
    """
    return Patience(check, Outages(log), first_tries=1)


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
