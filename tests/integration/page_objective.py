"""What stands for the search that the pages speak of."""

from __future__ import annotations

import time
from pathlib import Path

import optuna

QUICK = 12
"""Trials that train at once; those behind them wait for a file."""

FAILING = (2, 7)


def objective(trial: optuna.Trial, *, folder: str) -> float:
    """Has the parameters that the pages name, and fails where they try again."""
    lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    trial.suggest_categorical("optimizer", ["adam", "sgd"])
    while trial.number >= QUICK and not Path(folder, "go").exists():
        time.sleep(0.01)
    for step in range(1, 7):
        trial.report(lr * step, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    if trial.number in FAILING:
        raise ValueError("the data set is not there")
    return lr
