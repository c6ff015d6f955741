"""A worker that is not to take tasks any more: it finishes what it trains, and ends."""

from __future__ import annotations

import logging
from typing import Any

from celery.worker import state

from tasks.keeper.slot import SlotTable

log = logging.getLogger(__name__)

EXIT_CODE = 2
LOOK_SECONDS = 0.5


class Retirement:
    """Begins when it turns out that a worker cannot serve the control plane, which may be after an upgrade of that one.

    Unlike at a shutdown no trial is handed back: what was begun is understood on both sides.

    Args:
        slots: Which keepers are at work.
    """

    def __init__(self, slots: SlotTable) -> None:
        self._slots = slots
        self._hub: Any = None
        self.begun = False

    def attach(self, hub: Any) -> None:
        """Takes the event loop of the worker."""
        self._hub = hub

    def begin(self, why: str) -> None:
        """Takes no more tasks from here on. Call it in the event loop."""
        if not self.begun:
            self.begun = True
            log.error(
                "%s; it takes no more tasks, finishes what it trains, and ends", why, extra={"action": "retiring"}
            )
            self._hub.call_repeatedly(LOOK_SECONDS, self._end_when_idle)

    def _end_when_idle(self) -> None:
        # What was taken just before may not have reached its keeper.
        if not self._slots.busy() and not state.reserved_requests:
            state.should_stop = EXIT_CODE
