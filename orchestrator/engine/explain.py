"""A decision in words, and as the attribute that stays with the trial."""

from __future__ import annotations

import math
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


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
