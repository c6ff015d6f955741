"""``python -m tests.bench.search.record_digits``: trains the digits objective, and keeps its learning curves.

Their values are those of one CPU; another one may differ in the last digits. Takes some minutes.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import optuna

from tasks.objectives.digits import objective
from tests.bench.search.tables import DIGITS

EPOCHS = 27


def main() -> int:
    """Trains and writes."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.search.record_digits")
    parser.add_argument("--configurations", type=int, default=100, metavar="N")
    count = parser.parse_args().configurations
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler, pruner = optuna.samplers.RandomSampler(seed=0), optuna.pruners.NopPruner()
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    for done in range(count):
        study.optimize(lambda trial: objective(trial, epochs=EPOCHS), n_trials=1)
        print(f"\r{done + 1} of {count}", end="", file=sys.stderr, flush=True)
        curves = [[each.intermediate_values[epoch] for epoch in range(1, EPOCHS + 1)] for each in study.trials]
        np.savez_compressed(DIGITS, curves=np.array(curves, dtype=np.float32), direction="maximize")
    print(file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
