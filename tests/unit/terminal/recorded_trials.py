"""What is recorded of one trial, made up: how it stands, its attempts, and what was decided about it."""

from __future__ import annotations

from typing import Any

from orchestrator.model.changeset import AttemptRow, DecisionAction, DecisionRow
from orchestrator.model.records import StudyFacts, TrialFacts

AT = 1_700_000_000.0
MEDIAN = {"name": "median", "n_startup_trials": 5}
ASHA = {"name": "asha", "reduction_factor": 3, "min_resource": 1, "bootstrap_count": 0, "mode": "stopping"}
PROMOTION = ASHA | {"mode": "promotion"}
COMPLETED = {1: 0.9, 4: 0.7, 5: 0.8, 9: 0.85}
FAILURE = {
    "cause": "exception",
    "error": "ValueError",
    "message": "no\ndata",
    "traceback": "Traceback:\n  here\x1b\n\n",
}


def row(
    action: DecisionAction, step: int, value: float, threshold: float | None, peers: int, rule: str = "median"
) -> DecisionRow:
    return DecisionRow(9, action, rule, step, value, threshold, peers, AT)


def attempt(number: int = 1, state: str = "done", **changes: Any) -> AttemptRow:
    fields: dict[str, Any] = {"host": "box1", "device": "cuda:0", "started": AT, "ended": AT + 185}
    return AttemptRow(f"token-{number}", 9, number, state, AT, **fields | changes)


def facts(
    state: str = "PRUNED",
    pruner: dict[str, Any] | None = None,
    epochs: int = 8,
    direction: Any = "maximize",
    study: str = "running",
    reason: str = "",
    max_steps: int | None = 27,
    **changes: Any,
) -> TrialFacts:
    spec = {"max_steps": max_steps, "pruner": pruner or MEDIAN, "shadow": changes.pop("shadow", {"name": "none"})}
    given: dict[str, Any] = {
        "study": StudyFacts(
            "search", direction, spec, study, reason, 40, COMPLETED, attended=changes.pop("attended", True)
        ),
        "number": 9,
        "state": state,
        "values": (),
        "params": {"lr": 0.01},
        "steps": {epoch: epoch / 10 for epoch in range(1, epochs + 1)},
        "attempts": [attempt()],
    }
    return TrialFacts(**given | changes)


PROMOTED = row("promote", 3, 0.71, 0.69, 9, "asha")
