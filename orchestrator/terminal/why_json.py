"""Why a trial is where it is, for programs: what ``why --json`` prints."""

from __future__ import annotations

import math
from typing import Any

from orchestrator.model.changeset import AttemptRow, DecisionRow
from orchestrator.model.measurements import MEASUREMENTS
from orchestrator.model.records import TrialFacts
from orchestrator.terminal.why_text import Explanation, explain


def to_json(trial: TrialFacts) -> dict[str, Any]:
    """Returns the answer as one object; NaN and infinities, which JSON lacks, are null."""
    explanation = Explanation(trial)
    stopped = explanation.stopped_attempt()
    return {
        "study": trial.study.name,
        "trial": trial.number,
        "state": trial.state,
        "value": _finite(trial.values[0]) if len(trial.values) == 1 else None,
        "values": [_finite(value) for value in trial.values],
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
        "retry_of": trial.retry_of,
        "retries": list(trial.retries),
        "latency_ms": None if stopped is None or stopped.latency is None else round(stopped.latency * 1000, 2),
        "text": explain(trial),
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _row(row: DecisionRow | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        "action": row.action,
        "rule": row.rule,
        "step": row.step,
        "value": _finite(row.value),
        "threshold": _finite(row.threshold),
        "peers": row.peers,
        "at": row.at,
    }


def _attempt(row: AttemptRow) -> dict[str, Any]:
    return {
        "number": row.number,
        "state": row.state,
        "cause": row.cause,
        "verdict": row.verdict,
        "verdict_step": row.verdict_step,
        "host": row.host,
        "slot": row.slot,
        "device": row.device,
        "started": row.started,
        "ended": row.ended,
        "latency_ms": None if row.latency is None else round(row.latency * 1000, 2),
        "signal_latency_ms": None if row.signal_latency is None else round(row.signal_latency * 1000, 2),
    }
