"""Decisions, ends of trials and regressions of runs, in words, and as the attributes that stay with them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from orchestrator.common.formatting import NONE_FEASIBLE, number
from orchestrator.model.attribute_keys import DECISION, FAILURE, RETRY_OF
from orchestrator.model.progress_events import Best
from orchestrator.pruning import Decision
from orchestrator.spec import Spec


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


def describe_end(attributes: Mapping[str, Any]) -> str:
    """Returns why the trial was pruned, or how it failed; empty where neither is kept."""
    failure = attributes.get(FAILURE)
    if isinstance(failure, dict):
        if failure.get("error"):
            return f"{failure['error']}: {failure.get('message', '')}"
        return str(failure.get("cause", ""))
    decision = attributes.get(DECISION)
    return describe_kept(decision) if isinstance(decision, dict) else ""


def end_note(attributes: Mapping[str, Any]) -> str:
    """Returns the same in a few words, and which trial it is a retry of."""
    words = describe_end(attributes).partition("\n")[0]
    decision = attributes.get(DECISION)
    if isinstance(decision, dict) and FAILURE not in attributes:
        words = f"{decision.get('rule')} at step {decision.get('step')}"
    again = f"retry of trial {attributes[RETRY_OF]}" if RETRY_OF in attributes else ""
    return ", ".join(each for each in (words, again) if each)


def is_compared(spec: Spec, state: str) -> bool:
    """Whether a study in this state is a run that is compared with the one before it."""
    # One that was stopped did not get the chance.
    return state in ("finished", "failed") and _margin(spec) is not None


def flag(spec: Spec, state: str, best: Best | None, completed: int) -> str | None:
    """Returns in what a run is worse than the last one, beyond the margin of its schedule; ``None`` where it is not.

    ``completed`` is how many of its trials completed.
    """
    margin = _margin(spec)
    if margin is None or not is_compared(spec, state) or spec.run is None or spec.run.last is None:
        return None
    last = spec.run.last
    if best is None:
        why = NONE_FEASIBLE if completed else "no trial completed"
        return f"{why}; the best of {last.study} was {number(last.value)}"
    worse = last.value - best.value if spec.direction == "maximize" else best.value - last.value
    if worse <= margin:
        return None
    allowed = f", more than the {number(margin)} allowed" if margin else ""
    return f"best {number(best.value)} is worse than {number(last.value)} of {last.study} by {number(worse)}{allowed}"


def _margin(spec: Spec) -> float | None:
    if spec.schedule is None or spec.run is None or spec.run.last is None:
        return None
    return spec.schedule.margin(spec.run.last.value)


def _words(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "not finite"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
