"""A decision in words, and as the attribute that stays with the trial."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from orchestrator.pruning import Decision


def attribute(decision: Decision) -> dict[str, Any]:
    """Returns the decision as plain JSON; what is no finite number (JSON has none) is null."""
    return {
        "rule": decision.rule,
        "step": decision.step,
        "value": _finite(decision.value),
        "threshold": _finite(decision.threshold),
        "peers": decision.peers,
    }


def describe(decision: Decision) -> str:
    """Returns one line: at which step, by which rule, what was compared with what."""
    ground = f"value {decision.value:.4g}"
    if decision.threshold is not None:
        ground += f", threshold {decision.threshold:.4g} of {decision.peers} peers"
    return f"{decision.rule} at step {decision.step}: {ground}"


def describe_kept(kept: Mapping[str, Any]) -> str:
    """Returns the same line of a decision that ``attribute`` has made plain."""
    ground = "value " + _words(kept.get("value"))
    if kept.get("threshold") is not None:
        ground += f", threshold {_words(kept['threshold'])} of {kept.get('peers')} peers"
    return f"{kept.get('rule')} at step {kept.get('step')}: {ground}"


def _words(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "not finite"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
