"""Facts for the report, made by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from orchestrator.engine.state import Snapshot
from orchestrator.model.changeset import AttemptRow
from orchestrator.queries.study_summary import summary_of
from orchestrator.report.facts import Facts
from orchestrator.spec.model import validate

NOW = 1_700_000_000.0
WHEN = datetime(2023, 11, 14)  # noqa: DTZ001  # Optuna's are naive
COMPLETE, PRUNED, FAIL, RUNNING = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING
SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-4, 1.0, log=True),
    "x": FloatDistribution(0.0, 1.0),
    "kind": CategoricalDistribution(["plain", "fancy", None]),
}


def trial(
    number: int,
    state: TrialState = COMPLETE,
    values: Sequence[float] | None = None,
    curve: Sequence[float] = (),
    params: dict[str, Any] | None = None,
    space: dict[str, BaseDistribution] | None = None,
    **more: Any,
) -> FrozenTrial:
    """One trial; its parameters depend on its number, and its value on them, where they are not given."""
    x = (number * 37 % 101) / 101
    if params is None:
        params = {"lr": 10 ** (-4 * (1 - x)), "x": x * x, "kind": ["plain", "fancy", None][number % 3]}
    if state in (COMPLETE, PRUNED) and values is None:
        values = [x + number % 3 * 0.01]
    space = {name: SPACE[name] for name in params} if space is None else space
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=state,
        value=None,
        values=None if values is None else list(values),
        datetime_start=WHEN,
        datetime_complete=WHEN if state.is_finished() else None,
        params=params,
        distributions=space,
        user_attrs=more.get("user_attrs", {}),
        system_attrs=more.get("system_attrs", {}),
        intermediate_values=dict(enumerate(curve, 1)),
    )


def attempt(of: int, begin: float, end: float | None, slot: str = "w/0", **more: Any) -> AttemptRow:
    row = AttemptRow(token=f"{of}-{more.get('number', 1)}", trial=of, number=1, state="done", created=NOW)
    row.started, row.ended, row.slot, row.host = NOW + begin, None if end is None else NOW + end, slot, "w"
    for key, value in more.items():
        setattr(row, key, value)
    return row


def facts(trials: Sequence[FrozenTrial], attempts: Sequence[AttemptRow] = (), /, **spec: Any) -> Facts:
    """What would be read of these."""
    table = {"name": "study", "objective": "somewhere:objective", "trials": 20, "max_steps": 9} | spec
    checked = validate(table, "test")
    latencies = [row.latency for row in attempts if row.latency is not None and row.verdict == "pruned"]
    snapshot = Snapshot(checked, "uid", 1, "finished", "", list(trials), list(attempts))
    return Facts(
        summary=summary_of(snapshot, latencies, [], "postgresql://me:secret@host/db", "/models", 9.0),
        spec=checked,
        trials=trials,
        attempts=attempts,
        artifacts="/models",
        made=NOW + 100,
        versions={"optuna": "5.0.0"},
    )


def ordinary(count: int = 12, **spec: Any) -> Facts:
    """A search with trials of every kind."""
    trials = [trial(number, curve=[0.1 * step for step in range(9)]) for number in range(count)]
    trials.append(trial(count, PRUNED, [0.2], [0.1, math.nan, 0.2]))
    trials.append(trial(count + 1, FAIL, user_attrs={"failure": {"cause": "exception", "error": "E", "message": "m"}}))
    trials.append(trial(count + 2, RUNNING, curve=[0.1]))
    attempts = [attempt(each.number, 10.0 * each.number, 10.0 * each.number + 9) for each in trials[:-1]]
    attempts[count].verdict, attempts[count].latency = "pruned", 0.01
    attempts.append(attempt(count + 2, 200.0, 201.0, state="lost", cause="no sign of life"))
    attempts.append(attempt(count + 2, 202.0, None, number=2, state="running"))
    return facts(trials, attempts, direction="maximize", **spec)
