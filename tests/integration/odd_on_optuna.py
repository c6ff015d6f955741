"""The odd objectives on plain Optuna, which does not clean up between two trials."""

from __future__ import annotations

import contextlib
import gc
import json
import locale
import logging
import os
import resource
import signal
import sys
from pathlib import Path

import optuna
from odd_objectives import odd


def main() -> None:
    """Does on plain Optuna what the first argument names, in that order; writes what came of it into the second."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study()
    names = json.loads(sys.argv[1])
    for _ in names:
        with contextlib.suppress(Exception):
            study.optimize(lambda trial: odd(trial, names), n_trials=1)
        restore()
    rows = [
        [each.state.name, each.value, sorted(each.intermediate_values.items()), sorted(each.params)]
        for each in study.trials
    ]
    Path(sys.argv[2]).write_text(json.dumps(rows))


def restore() -> None:
    """Does what a keeper does between trials; plain Optuna does not."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in (signal.SIGALRM, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    logging.disable(logging.NOTSET)
    locale.setlocale(locale.LC_ALL, "")
    sys.setrecursionlimit(1_000)
    gc.enable()
    os.umask(0o022)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if soft == 99 else soft, hard))
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    os.chdir(os.environ["PYTHONPATH"])


if __name__ == "__main__":
    main()
