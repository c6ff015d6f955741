"""``serve``, ``beat`` and ``worker`` by a clock that a test sets.

``python -m settable_clock serve``, and likewise ``beat FOLDER`` and ``worker …``, do what the commands do. The file
that ``SETTABLE_CLOCK`` names holds the seconds by which their clock differs from the host's.
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


class SettableClock:
    """The clock as the test sees it: it is set here and read by the processes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def set(self, moment: float) -> None:
        """Sets the clock to ``moment``, in seconds since the epoch; it runs on from there."""
        new = self.path.with_suffix(".new")
        new.write_text(str(moment - time.time()))
        new.replace(self.path)

    def now(self) -> float:
        return time.time() + float(self.path.read_text())


def work(offset: float, arguments: list[str]) -> int:
    """Runs a worker on a host whose clock is wrong by ``offset`` seconds; whatever it imports reads that clock."""
    right = time.time
    time.time = lambda: right() + offset
    from tasks.worker.main import main as run_worker

    return run_worker(arguments)


def main(command: str, *arguments: str) -> None:
    if command == "worker":
        sys.exit(work(float(Path(os.environ["SETTABLE_CLOCK"]).read_text()), [*arguments]))
    logging.basicConfig(level="INFO", stream=sys.stderr, format="%(message)s")
    clock = Clock(SettableClock(Path(os.environ["SETTABLE_CLOCK"])).now)
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
