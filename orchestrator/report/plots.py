"""Which plots a report has, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from orchestrator.report import contour, costs, curves, failures, objectives, parameters, slots
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
    yield objectives.history(facts)
    if not facts.single:
        yield objectives.front(facts)
    yield curves.curves(facts)
    yield parameters.slices(facts)
    weights = parameters.importances_of(facts)
    yield parameters.importances(facts, weights)
    yield parameters.parallel(facts)
    yield contour.contour(facts, weights)
    yield slots.timeline(facts)
    yield costs.saved(facts)
    yield costs.latency(facts)
    if facts.summary.rungs:
        yield costs.rungs(facts)
    yield failures.causes(facts)
