"""``python -m tests.faults.patient_worker WORKER …``: a worker whose slots keep a task that they have taken ahead until
the file that ``OVERDUE`` names exists, however busy the machine is."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tasks.keeper.next_task import NextTask
from tasks.worker.main import main

OVERDUE = Path(os.environ.pop("OVERDUE"))
LOOK_SECONDS = 0.02


def seconds_left(self: NextTask) -> float | None:
    if self._expected_at is None or self._declined:
        return None
    return 0.0 if OVERDUE.exists() else LOOK_SECONDS


if __name__ == "__main__":
    NextTask.seconds_left = seconds_left  # type: ignore[method-assign]
    sys.exit(main(sys.argv[2:]))
