"""Trials of a list, made by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.model.changeset import AttemptRow
from orchestrator.model.records import ListedTrial, TrialHead

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = BEGUN + timedelta(seconds=100)


def head(number: int, state: str = "COMPLETE", *values: float, **changes: Any) -> TrialHead:
    """A trial that ended after as many seconds as its number says, unless it has not ended."""
    ended = None if state in ("RUNNING", "WAITING") else BEGUN + timedelta(seconds=number)
    table: dict[str, Any] = {
        "id": 100 + number,
        "number": number,
        "state": state,
        "live": "",
        "values": values,
        "started": None if state == "WAITING" else BEGUN,
        "ended": ended,
        "epochs": 27,
        "attempts": 1,
        "feasible": True,
    }
    return TrialHead(**table | changes)


def listed(of: TrialHead, slot: str = "w@host/0", **changes: Any) -> ListedTrial:
    last = AttemptRow(f"token-{of.number}", of.number, of.attempts, "done", 0.0, host="host", slot=slot, device="cpu")
    table: dict[str, Any] = {
        "head": of,
        "params": {"lr": 0.00123456, "optimizer": "adam"},
        "user_attrs": {},
        "last_step": of.epochs,
        "last_value": 0.5,
        "last": last,
        "redone": 0,
        "measured": {},
    }
    return ListedTrial(**table | changes)
