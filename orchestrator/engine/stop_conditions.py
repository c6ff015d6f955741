"""When a search has had enough: the limits of its spec, as a predicate over where it stands."""

from __future__ import annotations

from orchestrator.engine.state import Core


def reached(core: Core, at: float) -> str:
    """Returns which limit the study has come to, in words; nothing where it may go on.

    Of the study's state alone, and of ``at`` for the timeout: whoever begins anew from the database finds the same.
    """
    spec, trials = core.spec, core.trials
    if spec.max_total_steps is not None and trials.epochs >= spec.max_total_steps:
        return f"max_total_steps is reached: {trials.epochs} epochs are recorded"
    if core.deadline is not None and at >= core.deadline:
        return f"timeout is reached: {spec.timeout:g} s since the first trial began"
    best = None if spec.target is None and spec.patience is None else trials.best()[0]
    if best is None:
        return ""
    if spec.target is not None:
        met = best.value >= spec.target if spec.direction == "maximize" else best.value <= spec.target
        if met:
            return f"target is reached: {best.value:g} by trial {best.number}"
    if spec.patience is not None and trials.ended_after(best.number) >= spec.patience:
        return f"patience is reached: {spec.patience} trials after trial {best.number} were not better"
    return ""
