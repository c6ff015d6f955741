"""The object that ``orchestrator why --json`` prints: what became of a trial, and why."""

from __future__ import annotations

from typing import Any

from orchestrator.common.json_text import plain
from orchestrator.model.changeset import AttemptRow, DecisionRow
from orchestrator.model.measurements import MEASUREMENTS
from orchestrator.model.records import TrialFacts
from orchestrator.terminal.why_text import Explanation, explain

_OF_AN_ATTEMPT = (
    *("number", "state", "cause", "verdict", "verdict_step"),
    *("host", "slot", "device", "started", "ended"),
)


def to_json(trial: TrialFacts) -> dict[str, Any]:
    """Returns the answer as one object; NaN and infinities, which JSON lacks, are null."""
    explanation = Explanation(trial)
    stopped = explanation.stopped_attempt()
    answer: dict[str, Any] = {
        "study": trial.study.name,
        "trial": trial.number,
        "state": trial.state,
        "value": trial.values[0] if len(trial.values) == 1 else None,
        "values": trial.values,
        "params": dict(trial.params),
        "epochs": len(trial.steps),
        "decision": _row(explanation.first("prune") or explanation.first("end")),
        "closest": _row(trial.closest),
        "promotions": [_row(row) for row in trial.decisions if row.action == "promote"],
        "shadow": _row(explanation.first("shadow")),
        "audit": _row(explanation.first("audit")),
        "failure": dict(trial.failure) or None,
        "attempts": [_attempt(row) for row in trial.attempts],
        "epochs_trained_again": trial.redone,
        **{each.name: trial.measured.get(each.name) for each in MEASUREMENTS},
        "source": trial.source or None,
        "retry_of": trial.retry_of,
        "retries": list(trial.retries),
        "latency_ms": None if stopped is None else _milliseconds(stopped.latency),
        "text": explain(trial),
    }
    if trial.leads:
        answer["leading"] = True
    made: dict[str, Any] = plain(answer)
    return made


def _row(row: DecisionRow | None) -> dict[str, Any] | None:
    return None if row is None else {name: value for name, value in row._asdict().items() if name != "trial"}


def _attempt(row: AttemptRow) -> dict[str, Any]:
    latencies = {"latency_ms": _milliseconds(row.latency), "signal_latency_ms": _milliseconds(row.signal_latency)}
    return {name: getattr(row, name) for name in _OF_AN_ATTEMPT} | latencies


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
