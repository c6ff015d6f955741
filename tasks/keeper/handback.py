"""Policy for failures that are not the trial's: its process was told to end, or its host lacks room on its disks, for
processes or for open files."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from tasks.contract import Failed, Job, Outcome, Released
from tasks.keeper.slot import Slot, SlotTable

_BYTES: Final = 1 << 20
"""Size of the test file: more than a file system stores inline, and too little for a trial to miss."""

_ERRORS: Final = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.EAGAIN,
    }
)
"""Errors of the system that concern the host, not a single trial."""


def is_host_trouble(error: BaseException) -> bool:
    """Whether an error says that the host can train no trial for now."""
    if isinstance(error, OSError):
        return error.errno in _ERRORS
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "new thread" in str(error))


def describe_error(error: BaseException) -> str:
    """Returns ``No space left on device: /data/logs``, on one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return " ".join(f"{type(error).__name__}: {error}".split())


def disk_trouble(folders: Iterable[Path]) -> str:
    """Returns why the disks take no trial for now; empty where they do.

    Args:
        folders: Folders that a trial's files are written to; made where they are missing.
    """
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
                # Random: a disk that compresses takes any number of zeros.
                if file.write(os.urandom(_BYTES)) != _BYTES:
                    return f"{os.strerror(errno.ENOSPC)}: {folder}"
        except OSError as error:
            return f"{error.strerror or error}: {folder}"
    return ""


def may_be_full(folders: Iterable[Path]) -> bool:
    """Whether a disk reports so little room that ``disk_trouble`` should try; takes microseconds."""
    for folder in folders:
        try:
            disk = os.statvfs(folder)
        except OSError:
            continue
        if disk.f_bavail * disk.f_frsize < _BYTES or (disk.f_files and not disk.f_favail):
            return True
    return False


def process_trouble() -> str:
    """Returns why no process can be started for now; empty where one can."""
    try:
        subprocess.run(["true"], stdin=subprocess.DEVNULL, check=False)
    except OSError as error:
        return describe_error(error) if is_host_trouble(error) else ""
    return ""


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
