"""Which plots a report has, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from orchestrator.report import (
    contour_plots,
    curve_plots,
    failure_plots,
    history_plots,
    parameter_plots,
    savings_plots,
    slot_timeline,
)
from orchestrator.report.facts import Facts
from orchestrator.report.plot import Plot

COUNT = 13
"""How many plots there are at most."""


def draw(facts: Facts, advance: Callable[[int], None]) -> list[Plot]:
    """Draws everything; tells ``advance`` of each plot."""
    made = []
    for plot in _all(facts):
        made.append(plot)
        advance(1)
    return made


def _all(facts: Facts) -> Iterator[Plot]:
    yield history_plots.history(facts)
    if not facts.single:
        yield history_plots.front(facts)
    yield curve_plots.curves(facts)
    yield parameter_plots.slices(facts)
    weights = parameter_plots.importances_of(facts)
    yield parameter_plots.importances(facts, weights)
    yield parameter_plots.parallel(facts)
    yield contour_plots.contour(facts, weights)
    yield slot_timeline.timeline(facts)
    yield savings_plots.saved(facts)
    yield savings_plots.latency(facts)
    if facts.summary.rungs:
        yield savings_plots.rungs(facts)
    yield failure_plots.causes(facts)
