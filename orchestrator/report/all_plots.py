"""The plots of a report, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from orchestrator.report import (
    contour_plots,
    curve_plots,
    history_plots,
    outcome_plots,
    parallel_plot,
    parameter_plots,
    slot_timeline,
)
from orchestrator.report.facts import Facts
from orchestrator.report.plot import Plot

COUNT = 13
"""Largest number of plots."""


def draw(facts: Facts, advance: Callable[[int], None]) -> list[Plot]:
    """Draws all plots; calls ``advance`` with 1 after each."""
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
    yield parallel_plot.parallel(facts)
    yield contour_plots.contour(facts, weights)
    yield slot_timeline.timeline(facts)
    yield outcome_plots.saved(facts)
    yield outcome_plots.latency(facts)
    if facts.summary.rungs:
        yield outcome_plots.rungs(facts)
    yield outcome_plots.causes(facts)
