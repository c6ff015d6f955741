"""Pruning rules: decisions a second beside Optuna's pruner on the same study in memory, and what they remember."""

from __future__ import annotations

import random
import time
import tracemalloc
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import TrialState, create_trial

from orchestrator.pruning import build
from tests.bench.figures import Row, Section, number, rate, single
from tests.bench.servers import say

STEPS = 16
OPTUNA_SECONDS = 1.0
NAMES = ("median", "asha")
ARGUMENTS: Mapping[str, dict[str, Any]] = {
    "median": {"n_startup_trials": 5},
    "asha": {"min_resource": 1, "reduction_factor": 4},
}

History = Sequence[Sequence[float]]


def measure(quick: bool) -> Section:
    """Returns the figures of the rules."""
    rows: list[Row] = []
    for trials in (1_000,) if quick else (1_000, 10_000):
        draw = random.Random(trials)
        history = [[draw.random() + 0.1 * step for step in range(STEPS)] for _ in range(trials)]
        for name in NAMES:
            say(f"rule {name} at {trials} trials")
            rows += _rule(name, history)
    how = (
        f"Every trial in the history is complete with {STEPS} reports. Then new trials report at steps 1 to {STEPS}, "
        "each report with one decision; a trial that is to be pruned ends. Optuna: report and should_prune of a trial "
        "in a study in memory. Memory: what the rule holds after the history, by tracemalloc."
    )
    return Section("Pruning rules", how, tuple(rows))


def _rule(name: str, history: History) -> list[Row]:
    trials = f"{number(len(history))} trials"
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    rule = build(name, ARGUMENTS[name], "maximize")
    _fill(rule, history)
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    ours = []
    for turn in range(3):
        rule = build(name, ARGUMENTS[name], "maximize")
        _fill(rule, history)
        ours.append(_decide(rule, len(history), random.Random(turn)))
    theirs = _optuna(name, history)
    times = (ours[0][0] / ours[0][1]) / (theirs[0] / theirs[1])
    note = f"{number(times)} times Optuna's"
    size = f"{held / 2**20:.1f} MiB"
    return [
        rate(f"{name}, {trials}: ours", ours, "decisions/s", note=note),
        rate(f"{name}, {trials}: Optuna's pruner", [theirs], "decisions/s"),
        single(f"{name}, {trials}: memory", size, note=f"{held / len(history) / STEPS:.0f} bytes a report"),
    ]


def _fill(rule: Any, history: History) -> None:
    for trial, values in enumerate(history):
        for step, value in enumerate(values, 1):
            rule.observe(trial, step, value)
        rule.finish(trial, "COMPLETE")


def _decide(rule: Any, first: int, draw: random.Random) -> tuple[int, float]:
    """Makes some 20 000 decisions."""
    trials = [[draw.random() + 0.1 * step for step in range(STEPS)] for _ in range(3_000)]
    count = 0
    begun = time.perf_counter()
    for trial, values in enumerate(trials, first):
        for step, value in enumerate(values, 1):
            count += 1
            if rule.observe(trial, step, value).prune:
                break
        rule.finish(trial, "PRUNED")
    return count, time.perf_counter() - begun


def _optuna(name: str, history: History) -> tuple[int, float]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    given = ARGUMENTS[name]
    pruner = (
        optuna.pruners.MedianPruner(**given) if name == "median" else optuna.pruners.SuccessiveHalvingPruner(**given)
    )
    study = optuna.create_study(direction="maximize", pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=1))
    for values in history:
        # What Optuna's pruner itself leaves with the trials: one value for each rung that was reached.
        rungs = {f"completed_rung_{rung}": values[4**rung - 1] for rung in range(3)} if name == "asha" else {}
        steps = dict(enumerate(values, 1))
        study.add_trial(
            create_trial(state=TrialState.COMPLETE, value=values[-1], intermediate_values=steps, system_attrs=rungs)
        )
    draw = random.Random(0)
    count, lasted = 0, 0.0
    while lasted < OPTUNA_SECONDS:
        trial = study.ask()
        for step in range(STEPS):
            value = draw.random() + 0.1 * step
            before = time.perf_counter()
            trial.report(value, step + 1)
            pruned = trial.should_prune()
            lasted += time.perf_counter() - before
            count += 1
            if pruned:
                break
        study.tell(trial, state=TrialState.PRUNED)
    return count, lasted
