"""The objective of a soak: it trains nothing and reports values that can be checked one by one afterwards."""

from __future__ import annotations

import os
import time
from pathlib import Path

import optuna

CHECKPOINT_EVERY = 4
GATE = "go"
"""File without which trials of a gated search train no more than ``UNGATED`` epochs."""
UNGATED = 2


def value_of(x: float, step: int) -> float:
    """Returns what a trial with parameter ``x`` reports at ``step``: worth checking, and different for each pair."""
    return x * (1.0 - 0.9**step)


def objective(
    trial: optuna.Trial, epochs: int, seconds: float, folder: str, gated: bool = False, looks: bool = False
) -> float:
    """Reports ``epochs`` values, ``seconds`` apart, and leaves a line in ``folder`` for each of them.

    One that ``looks`` has a question to the control plane before each epoch.
    """
    x = trial.suggest_float("x", 0.0, 1.0)
    log = os.open(Path(folder) / "reported.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        first = 1
        if (checkpoint := trial.load_checkpoint()) is not None:
            first = checkpoint.step + 1
        for step in range(first, epochs + 1):
            while gated and step > UNGATED and not Path(folder, GATE).exists():
                time.sleep(0.01)
            if looks:
                assert len(trial.study.trials) > trial.number
            time.sleep(seconds)
            os.write(log, f"{trial.number} {step}\n".encode())
            trial.report(value_of(x, step), step)
            if step % CHECKPOINT_EVERY == 0:
                trial.save_checkpoint({"step": step}, step)
    finally:
        os.close(log)
    return value_of(x, epochs)
