"""Policy for failures that are not the trial's: its process was told to end, or its host is in trouble."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from typing import Final

from tasks.contract import Failed, Job, Outcome, Released
from tasks.keeper.host_trouble import describe_error, disk_trouble, is_host_trouble, may_be_full
from tasks.keeper.slot import Slot, SlotTable

log = logging.getLogger(__name__)

MOST_HANDED_BACK: Final = 10
"""Most attempts of a trial that are handed back; an objective that ends itself in such a way fails after them."""

TOLD_SECONDS: Final = 1.0
"""Longest time between the stop of a training process and that of its worker for both to count as one."""

_TOLD: Final = frozenset(-number for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT))
_OF_THE_PROCESS: Final = frozenset({"died", "exception", "import", "out_of_memory"})


class HandbackPolicy:
    """Decides which failures of a slot are handed back, so that they cost the trial no attempt.

    Args:
        slot, slots: The slot, and the memory that its worker's processes share.
        is_handing_back: Whether the keeper or its worker was told to stop.
        wait: Waits at most that many seconds for ``is_handing_back`` to change.
    """

    def __init__(
        self, slot: Slot, slots: SlotTable, is_handing_back: Callable[[], bool], wait: Callable[[float], None]
    ) -> None:
        self._slot = slot
        self._slots = slots
        self._is_handing_back = is_handing_back
        self._wait = wait

    def judge(self, job: Job, outcome: Outcome) -> Outcome:
        """Returns the outcome, or ``Released`` for a failure that is not the trial's."""
        if not isinstance(outcome, Failed) or outcome.cause not in _OF_THE_PROCESS or job.attempt > MOST_HANDED_BACK:
            return outcome
        if outcome.exit_code not in _TOLD and not self._was_told_to_stop(outcome) and not self._has_no_room():
            return outcome
        log.warning("trial %d is handed back: %s", job.trial, outcome.message, extra={"action": "handed_back"})
        return Released()

    def judge_error(self, job: Job, error: Exception) -> Outcome:
        """Returns the outcome of an attempt whose keeper has raised an error."""
        if is_host_trouble(error):
            self._close_host(describe_error(error))
            return Released()
        log.exception("trial %d could not be trained", job.trial, extra={"action": "keeper_failed"})
        message = ascii(f"the worker could not train it: {describe_error(error)}")[1:-1]
        return Failed(cause="died", error=type(error).__name__, message=message)

    def _was_told_to_stop(self, failed: Failed) -> bool:
        if failed.error in ("SystemExit", "KeyboardInterrupt"):
            # The objective's own signal handler may have raised it, at a signal to all processes of the worker.
            deadline = time.monotonic() + TOLD_SECONDS
            while not self._is_handing_back() and (left := deadline - time.monotonic()) > 0:
                self._wait(left)
        return self._is_handing_back()

    def may_train(self) -> bool:
        """Whether a trial may begin: its host has no trouble, and no disk is full."""
        return not self._slots.trouble and not (may_be_full(self._slot.folders) and self._has_no_room())

    def _has_no_room(self) -> bool:
        if trouble := disk_trouble(self._slot.folders):
            self._close_host(trouble)
        return bool(trouble)

    def _close_host(self, trouble: str) -> None:
        """Stops the worker from taking trials until there is room again."""
        if not self._slots.trouble:
            log.error("this host can train nothing for now: %s", trouble, extra={"action": "no_room"})
        self._slots.trouble = trouble
