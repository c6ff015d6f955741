"""A worker whose host is in trouble takes no task until a look shows that it has room again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tasks.keeper.host_trouble import disk_trouble, process_trouble
from tasks.keeper.slot import SlotTable

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""Between two looks."""


class Room:
    """Asked by the worker's event loop before it takes a task; never waits for a disk.

    Args:
        slots: Where a keeper says that its host is in trouble.
        folders: What a trial's files are written to.
    """

    def __init__(self, slots: SlotTable, folders: Sequence[Path]) -> None:
        self._slots = slots
        self._folders = folders
        self._looking: threading.Thread | None = None

    def is_there(self) -> bool:
        """Whether a task may be taken; begins to look for room where not."""
        if not self._slots.trouble:
            return True
        if self._looking is None or not self._looking.is_alive():
            self._looking = threading.Thread(target=self._look, name="room", daemon=True)
            self._looking.start()
        return False

    def _look(self) -> None:
        pause = threading.Event()
        while trouble := disk_trouble(self._folders) or process_trouble():
            self._slots.trouble = trouble
            pause.wait(LOOK_SECONDS)
        log.info("there is room again: this worker takes trials", extra={"action": "room_again"})
        self._slots.trouble = ""
