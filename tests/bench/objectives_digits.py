"""The shipped torch objective, with the time of its first report noted."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import optuna

from tasks.objectives.digits import objective as digits


def first_report(trial: optuna.Trial, *, folder: str, epochs: int) -> float:
    """Trains on the digits; the first report leaves its time in ``folder``."""
    report = trial.report

    def noting(value: float, step: int) -> None:
        report(value, step)
        path = Path(folder, "first_report")
        if not path.exists():
            path.write_text(repr(time.time()))

    anything: Any = trial
    anything.report = noting
    return digits(trial, epochs=epochs)
