"""The table of all trials: what the page's script sorts and shows."""

from __future__ import annotations

import math
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from orchestrator.common.formatting import cut, is_apart, one_line
from orchestrator.report.facts import Facts
from orchestrator.report.outcome_plots import cause_of

_MOST_LETTERS = 100


def table(facts: Facts) -> dict[str, Any]:
    """Returns the names of the columns and a row for each trial, as JSON.

    A cell is a number, a text, or ``None`` where a trial has nothing there. Floats keep six significant digits.
    """
    names = list(dict.fromkeys(name for trial in facts.trials for name in trial.params))
    values = [facts.objective(index) for index in range(len(facts.spec.objectives))]
    has_constraints, has_failures = bool(facts.infeasible), bool(facts.of(TrialState.FAIL))
    seconds, passed = facts.seconds, facts.passed
    apart = any(is_apart(seconds[number], passed[number]) for number in seconds.keys() & passed.keys())
    columns = ["trial", "state", *values, *(["constraints"] if has_constraints else []), "epochs"]
    columns += [
        *(["seconds"] if seconds else []),
        *(["passed"] if apart else []),
        *(["cause"] if has_failures else []),
        *names,
    ]
    rows = []
    for trial in facts.trials:
        found = list(trial.values or ())
        row: list[Any] = [trial.number, facts.state_of(trial)]
        row += [_cell(found[index]) if index < len(found) else None for index in range(len(values))]
        if has_constraints:
            row.append(_constraints(facts, trial))
        row.append(facts.trained(trial))
        if seconds:
            row.append(round(seconds[trial.number], 1) if trial.number in seconds else None)
        if apart:
            row.append(round(passed[trial.number], 1) if trial.number in passed else None)
        if has_failures:
            row.append(_text(cause_of(trial)) if trial.state is TrialState.FAIL else None)
        row += [_cell(trial.params[name]) if name in trial.params else None for name in names]
        rows.append(row)
    return {"columns": [_text(name) for name in columns], "rows": rows}


def _constraints(facts: Facts, trial: FrozenTrial) -> str | None:
    if trial.state is not TrialState.COMPLETE:
        return None
    return "violated" if trial.number in facts.infeasible else "met"


def _cell(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _text(value)
    # JavaScript has no larger whole numbers, and JSON neither NaN nor infinity.
    if isinstance(value, int):
        return value if abs(value) < 2**53 else str(value)
    return float(f"{value:.6g}") if math.isfinite(value) else str(value)


def _text(value: Any) -> str:
    return cut(one_line(str(value)), _MOST_LETTERS)
