"""Summarizes a search from the database."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from orchestrator.common.urls import redact
from orchestrator.engine.artifacts import kept_of
from orchestrator.engine.state import Snapshot
from orchestrator.model.attribute_keys import AUDITED, EXTRA, SHADOW, WITHIN
from orchestrator.model.changeset import AttemptRow
from orchestrator.model.lifecycle import AttemptState
from orchestrator.model.progress_events import Best
from orchestrator.model.search_summary import Audit, Epochs, Model, NotStored, Shadow, Summary, Trials, percentiles
from orchestrator.model.trial_length import length, saved
from orchestrator.pruning.expectations import calibrate
from orchestrator.pruning.pausing import PausingRule
from orchestrator.sampling import rules
from orchestrator.sampling.best_trials import best_of, front_of, in_memory, rank
from orchestrator.sampling.judged_trials import OUTCOMES, condemned
from orchestrator.storage.store import Store
from tasks.trial_files import NOT_KEPT


def summarize(store: Store, name: str, storage_url: str, artifact_url: str, wall: float) -> Summary:
    """Returns the summary of a study; ``wall`` is how long this run of it took, in seconds."""
    latencies, gaps = store.timings(name)
    return summary_of(store.load(name), latencies, gaps, storage_url, artifact_url, wall)


def summary_of(
    snapshot: Snapshot,
    latencies: Sequence[float],
    gaps: Sequence[float],
    storage_url: str,
    artifact_url: str,
    wall: float,
) -> Summary:
    """Returns the summary of a study that was read; ``latencies`` and ``gaps`` are what ``Store.timings`` returns."""
    spec = snapshot.spec
    states = [trial.state for trial in snapshot.trials]
    # What waits for room in the budget takes no place in it yet.
    taken = [
        each for each in snapshot.trials if each.state is not TrialState.WAITING or WITHIN not in each.system_attrs
    ]
    trained = [_length(trial, spec.max_steps) for trial in taken]
    budget = left_out = None
    if spec.max_steps is not None:
        extra = sum(EXTRA in trial.system_attrs for trial in snapshot.trials)
        # A trial may report more epochs than the spec says that a full one has.
        budget = sum(max(spec.max_steps, epochs) for epochs in trained)
        budget += (spec.budget(extra, len(trained)) - len(trained)) * spec.max_steps
        pruned = Counter(
            each
            for each, state in zip(trained, (each.state for each in taken), strict=True)
            if state is TrialState.PRUNED
        )
        left_out = saved(spec.max_steps, pruned)
    study = in_memory(snapshot.trials, spec.objectives)
    best, front = best_of(study), front_of(study)
    return Summary(
        study=spec.name,
        storage=redact(storage_url),
        state=snapshot.state,
        reason=snapshot.reason,
        best=best,
        front=front,
        model=None if best is None else model(snapshot.trials[best.number], artifact_url),
        not_stored=not_stored(snapshot.trials),
        trials=Trials(
            complete=states.count(TrialState.COMPLETE),
            pruned=states.count(TrialState.PRUNED),
            failed=states.count(TrialState.FAIL),
            waiting=states.count(TrialState.WAITING),
        ),
        epochs=Epochs(trained=sum(trained), budget=budget, saved=left_out),
        prune_latency_ms=percentiles(latencies),
        slot_gap_ms=percentiles(gaps),
        rungs=rungs(snapshot),
        audit=audit(snapshot.trials, maximize=spec.direction == "maximize"),
        shadow=None if spec.shadow.name == "none" else shadow(spec.shadow.name, snapshot.trials, best, spec.max_steps),
        calibration=calibrate(_trained_to_the_end(snapshot.trials)),
        wall_s=wall,
        slot_s=_slot_seconds(snapshot.attempts),
    )


def _slot_seconds(attempts: Iterable[AttemptRow]) -> float | None:
    spans = [each.ended - each.started for each in attempts if each.started is not None and each.ended is not None]
    return sum(max(0.0, each) for each in spans) if spans else None


def _trained_to_the_end(trials: Iterable[FrozenTrial]) -> Iterator[tuple[dict[str, Any], float]]:
    """Yields what the rule has kept of each complete trial, and its last report."""
    for trial in trials:
        if trial.state is TrialState.COMPLETE and trial.intermediate_values:
            yield trial.system_attrs, trial.intermediate_values[max(trial.intermediate_values)]


def model(trial: FrozenTrial, artifact_url: str) -> Model | None:
    """Returns the model that a trial has saved last; ``None`` where there is none."""
    models = [each for each in kept_of(trial) if each.kind == "model"]
    if not models:
        return None
    newest = models[-1]
    return Model(
        filename=newest.filename, artifact_id=newest.id, location=f"{redact(artifact_url).rstrip('/')}/{newest.id}"
    )


def not_stored(trials: list[FrozenTrial]) -> tuple[NotStored, ...]:
    """Returns the models that could not be stored, by trial."""
    return tuple(
        NotStored(trial=trial.number, filename=str(name), problem=str(problem))
        for trial in trials
        if isinstance(lost := trial.user_attrs.get(NOT_KEPT), dict)
        for name, problem in lost.items()
    )


def rungs(snapshot: Snapshot) -> tuple[tuple[int, int], ...]:
    """Returns (step, number of trials that reached it) for each rung; empty where no trials are promoted."""
    spec = snapshot.spec
    if not spec.pruner.promotes:
        return ()
    rule = rules.of_spec(spec, spec.pruner)
    if not isinstance(rule, PausingRule):
        return ()
    for trial in snapshot.trials:
        rule.restore(trial.number, trial.intermediate_values, OUTCOMES.get(trial.state), trial.system_attrs)
    for row in snapshot.attempts:
        if row.state == AttemptState.PAUSED:
            rule.pause(row.trial)
    return tuple(rule.held())


def audit(trials: list[FrozenTrial], *, maximize: bool) -> Audit | None:
    """Returns what became of the condemned trials that were let run on; ``None`` where there were none."""
    audited = {trial.number for trial in trials if condemned(trial, AUDITED)}
    if not audited:
        return None
    sign = 1.0 if maximize else -1.0
    good, infeasible = rank(trials, maximize=maximize)
    values = [sign * trial.values[0] for trial in good if trial.number in audited]
    others = [sign * trial.values[0] for trial in good if trial.number not in audited]
    middle = statistics.median(others) if others else math.inf
    return Audit(
        condemned=len(audited),
        completed=len(values) + sum(trial.number in audited for trial in infeasible),
        better=sum(value > middle for value in values),
        best=sum(value > max(others, default=math.inf) for value in values),
    )


def shadow(rule: str, trials: list[FrozenTrial], best: Best | None, max_steps: int | None = None) -> Shadow:
    """Returns what a shadow rule would have done to these trials."""
    pruned = {trial.number: kept for trial in trials if (kept := condemned(trial, SHADOW))}
    return Shadow(
        rule=rule,
        pruned=len(pruned),
        saved=sum(
            _length(trial, max_steps) - _length(trial, max_steps, pruned[trial.number]["reports"])
            for trial in trials
            if trial.number in pruned
        ),
        winner=best is not None and best.number in pruned,
    )


def _length(trial: FrozenTrial, max_steps: int | None, reports: int | None = None) -> int:
    """Returns how far a trial was trained, or how far it was at one of its reports."""
    steps = list(trial.intermediate_values)[:reports]
    return length(len(steps), max(steps, default=None), max_steps)
