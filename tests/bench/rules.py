"""Pruning rules: decisions a second beside Optuna's pruner on the same study in memory, and what they remember."""

from __future__ import annotations

import random
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import optuna
from optuna.pruners import BasePruner
from optuna.trial import TrialState, create_trial

from orchestrator.pruning import registry
from orchestrator.pruning.base import RuleBase
from orchestrator.pruning.promotion import PromotionRule
from orchestrator.sampling.rules import build
from tests.bench.figures import Row, Section, number, quantile, rate, single
from tests.bench.servers import say

STEPS = 16
REPETITIONS = 5
OPTUNA_SECONDS = 0.5  # of each repetition
STUDY = "bench"
_MEDIAN = {"n_startup_trials": 5}
ARGUMENTS: Mapping[str, dict[str, Any]] = {
    "median": _MEDIAN,
    "percentile": {"percentile": 25.0, "n_startup_trials": 5},
    "asha": {"min_resource": 1, "reduction_factor": 4},
    "hyperband": {"min_resource": 1, "max_resource": STEPS, "reduction_factor": 4},
    "threshold": {"lower": 0.0, "upper": 2.0},
    "patient": {"patience": 2, "wrapped": {"name": "median"} | _MEDIAN},
    "none": {},
}

Curves = Sequence[Sequence[float]]
Made = TypeVar("Made")


def measure(quick: bool) -> Section:
    """Returns the figures of the rules."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows: list[Row] = []
    for trials in (1_000,) if quick else (1_000, 10_000):
        history = _curves(trials, random.Random(trials))
        for name in ARGUMENTS:
            say(f"rule {name} at {trials} trials")
            rows += _rule(name, history, 2 if quick else REPETITIONS)
        say(f"promotions among {trials} trials")
        rows += _promotion(trials)
    how = (
        f"Every trial in the history is complete with {STEPS} reports. Then new trials report at steps 1 to {STEPS}, "
        "each report with one decision; a trial that is to be pruned ends. Optuna: report and should_prune of a trial "
        "in a study in memory that holds the same history; asking and telling are not counted. The two take turns and "
        "are given the same new trials; the ratio is that of the medians. Memory: what the rule holds after the "
        "history, by tracemalloc. Promotion: a search of so many configurations with one slot and rungs at 1, 3, 9, 27 "
        "and 81, from the first to the last; each slice makes one report, and ends in a pause or at the top."
    )
    return Section("Pruning rules", how, tuple(rows))


def _curves(count: int, draw: random.Random) -> Curves:
    """Made-up trainings to maximize: each goes up, with noise."""
    return [[draw.random() + 0.1 * step for step in range(STEPS)] for _ in range(count)]


def _rule(name: str, history: Curves, repetitions: int) -> list[Row]:
    trials = f"{number(len(history))} trials"
    rule, held = _weighed(lambda: _filled(name, history))
    study = _study(name, history, rule)
    ours, theirs = [], []
    for turn in range(repetitions):
        curves = _curves(3_000, random.Random(turn))
        ours.append(_decide(_filled(name, history), len(history), curves))
        theirs.append(_optuna(study, curves))
    ratio = _middle(ours) / _middle(theirs)
    return [
        rate(f"{name}, {trials}: ours", ours, "decisions/s", note=f"{number(ratio)} times Optuna's"),
        rate(f"{name}, {trials}: Optuna's pruner", theirs, "decisions/s"),
        _memory(f"{name}, {trials}", held, len(history) * STEPS),
    ]


def _weighed(make: Callable[[], Made]) -> tuple[Made, int]:
    """Returns what is made, and how many bytes are still allocated for it."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    made = make()
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return made, held


def _memory(name: str, held: int, reports: int) -> Row:
    return single(f"{name}: memory", f"{held / 2**20:.2f} MiB", note=f"{held / reports:.1f} bytes a report")


def _middle(counts: Iterable[tuple[int, float]]) -> float:
    return quantile([count / seconds for count, seconds in counts], 0.5)


def _filled(name: str, history: Curves) -> RuleBase:
    """Returns a rule that has seen the history, and has decided at every report of it."""
    arguments = registry.read({"name": name, **ARGUMENTS[name]})
    rule = build(arguments, "maximize", study_name=STUDY, max_steps=STEPS, trials=len(history))
    for trial, values in enumerate(history):
        for step, value in enumerate(values, 1):
            rule.observe(trial, step, value)
        rule.finish(trial, "COMPLETE")
    return rule


def _decide(rule: RuleBase, first: int, curves: Curves) -> tuple[int, float]:
    """Returns how many decisions were made of new trials, and the seconds it took."""
    count = 0
    begun = time.perf_counter()
    for trial, values in enumerate(curves, first):
        for step, value in enumerate(values, 1):
            count += 1
            if rule.observe(trial, step, value).prune:
                break
        rule.finish(trial, "PRUNED")
    return count, time.perf_counter() - begun


def _pruner(name: str, arguments: Mapping[str, Any]) -> BasePruner:
    """Returns Optuna's pruner of the same kind."""
    if name == "patient":
        inside = dict(arguments["wrapped"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.pruners.PatientPruner(_pruner(inside.pop("name"), inside), arguments["patience"])
    kinds: dict[str, type[BasePruner]] = {
        "median": optuna.pruners.MedianPruner,
        "percentile": optuna.pruners.PercentilePruner,
        "asha": optuna.pruners.SuccessiveHalvingPruner,
        "hyperband": optuna.pruners.HyperbandPruner,
        "threshold": optuna.pruners.ThresholdPruner,
        "none": optuna.pruners.NopPruner,
    }
    return kinds[name](**arguments)


def _study(name: str, history: Curves, rule: RuleBase) -> optuna.Study:
    """Returns a study in memory with the history, and with what Optuna's pruner itself would leave in it."""
    study = optuna.create_study(
        study_name=STUDY,
        direction="maximize",
        pruner=_pruner(name, ARGUMENTS[name]),
        sampler=optuna.samplers.RandomSampler(seed=1),
    )
    for trial, values in enumerate(history):
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE,
                value=values[-1],
                intermediate_values=dict(enumerate(values, 1)),
                system_attrs=dict(rule.attributes(trial)),
            )
        )
    return study


def _optuna(study: optuna.Study, curves: Curves) -> tuple[int, float]:
    """Does as ``_decide``, for a while."""
    count, lasted = 0, 0.0
    for values in curves:
        trial = study.ask()
        for step, value in enumerate(values, 1):
            before = time.perf_counter()
            trial.report(value, step)
            pruned = trial.should_prune()
            lasted += time.perf_counter() - before
            count += 1
            if pruned:
                break
        study.tell(trial, state=TrialState.PRUNED)
        if lasted > OPTUNA_SECONDS:
            break
    return count, lasted


def _promotion(trials: int) -> list[Row]:
    figure = f"asha with promotions, {number(trials)} trials"
    (rule, reports), held = _weighed(lambda: _search(trials, 0)[:2])
    runs = [_search(trials, turn)[1:] for turn in range(REPETITIONS)]
    paused = len(rule.paused())
    return [
        rate(f"{figure}: ours", runs, "slices/s", note=f"{paused} are still paused at the end"),
        _memory(figure, held, reports),
    ]


def _search(trials: int, seed: int) -> tuple[PromotionRule, int, float]:
    """Runs a search; returns its rule, how many slices it had, and the seconds it took."""
    draw = random.Random(seed)
    worth = [draw.random() for _ in range(trials)]
    rule = PromotionRule("asha", "maximize", 1, 81, 3)
    started = slices = 0
    begun = time.perf_counter()
    while True:
        promotion = rule.promote()
        if promotion is not None:
            trial = promotion.trial
        elif started < trials:
            trial, started = started, started + 1
        else:
            return rule, slices, time.perf_counter() - begun
        slices += 1
        until = rule.until(trial)
        rule.observe(trial, until or rule.rungs[-1], worth[trial])
        if until is None:
            rule.finish(trial, "COMPLETE")
        else:
            rule.pause(trial)
