"""A scheduled run that came out worse than the one before it: held against it when it ends."""

from __future__ import annotations

from orchestrator.common.formatting import NONE_FEASIBLE, number
from orchestrator.model.progress_events import Best
from orchestrator.spec import Spec


def is_compared(spec: Spec, state: str) -> bool:
    """Whether a study that is in this state now is a run that is held against another one."""
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
