"""The rungs of a study whose rule promotes trials, as views show them."""

from __future__ import annotations

from orchestrator.model.progress_events import RungLine
from orchestrator.pruning.pausing import PausingRule


def rung_lines(rule: PausingRule) -> tuple[RungLine, ...]:
    """Returns the line of each rung, the lowest first."""
    ready = rule.next_up()
    rungs = zip(rule.held(), rule.on_rung(), rule.first_in_line(), strict=True)
    return tuple(
        RungLine(step=step, reached=reached, on_it=on_it, next_up=up, ready=up is not None and up == ready)
        for (step, reached), on_it, up in rungs
    )
