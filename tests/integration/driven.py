"""``python -m driven serve``, ``python -m driven beat FOLDER``: as the commands, by a clock that a test sets.

The file that ``DRIVEN_CLOCK`` names says by how many seconds it differs from the host's.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from pathlib import Path

from orchestrator.common.clock import Clock
from orchestrator.common.settings import load_settings


class DrivenClock:
    """The setting end."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def set(self, moment: float) -> None:
        """Makes it show ``moment``, in seconds since the epoch; it goes on from there."""
        new = self.path.with_suffix(".new")
        new.write_text(str(moment - time.time()))
        new.replace(self.path)

    def now(self) -> float:
        return time.time() + float(self.path.read_text())


def main(command: str, *arguments: str) -> None:
    logging.basicConfig(level="INFO", stream=sys.stderr, format="%(message)s")
    clock = Clock(DrivenClock(Path(os.environ["DRIVEN_CLOCK"])).now)
    settings = load_settings()
    assert settings.redis_url
    assert settings.storage_url
    if command == "serve":
        from orchestrator.control.serve import serve

        serve(settings, settings.redis_url, settings.storage_url, clock=clock)
    else:
        from orchestrator.schedule.beat import beat

        beat(settings.redis_url, settings.storage_url, Path(*arguments), clock, most_ahead=math.inf)


if __name__ == "__main__":
    main(*sys.argv[1:])
