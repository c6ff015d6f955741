"""What came of a search, read from the database."""

from __future__ import annotations

import math

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from orchestrator.notices import Best
from orchestrator.settings import redact
from orchestrator.storage import Store
from orchestrator.view.summary import Epochs, Summary, Trials, percentiles


def summarize(store: Store, name: str, storage_url: str, wall: float) -> Summary:
    """Returns the summary of a study; ``wall`` is how long this run of it took, in seconds."""
    snapshot = store.load(name)
    spec = snapshot.spec
    states = [trial.state for trial in snapshot.trials]
    trained = [len(trial.intermediate_values) for trial in snapshot.trials]
    latencies, gaps = store.timings(name)
    budget = saved = None
    if spec.max_steps is not None:
        budget = spec.trials * spec.max_steps
        saved = sum(
            max(0, spec.max_steps - epochs)
            for epochs, state in zip(trained, states, strict=True)
            if state is TrialState.PRUNED
        )
    return Summary(
        study=name,
        storage=redact(storage_url),
        state=snapshot.state,
        reason=snapshot.reason,
        best=best_of(snapshot.trials, StudyDirection[spec.direction.upper()]),
        trials=Trials(
            complete=states.count(TrialState.COMPLETE),
            pruned=states.count(TrialState.PRUNED),
            failed=states.count(TrialState.FAIL),
        ),
        epochs=Epochs(trained=sum(trained), budget=budget, saved=saved),
        prune_latency_ms=percentiles(latencies),
        slot_gap_ms=percentiles(gaps),
        wall_s=wall,
    )


def best_of(trials: list[FrozenTrial], direction: StudyDirection) -> Best | None:
    """Returns the best completed trial, the first of equals; NaN is never the best."""
    ended = [
        (trial.value, trial)
        for trial in trials
        if trial.state is TrialState.COMPLETE and trial.value is not None and not math.isnan(trial.value)
    ]
    if not ended:
        return None
    sign = -1.0 if direction is StudyDirection.MAXIMIZE else 1.0
    value, trial = min(ended, key=lambda each: (sign * each[0], each[1].number))
    return Best(number=trial.number, value=value, params=trial.params)
