"""A plot, or why there is none; and which plots a report has, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import plotly.graph_objects as go

from orchestrator.report.facts import Facts


@dataclass(frozen=True)
class Plot:
    """One plot.

    Attributes:
        id: Names it in links and as a file.
        title: The heading.
        says: What it shows, in a sentence or two; limits are stated here. Plain text.
        figures: What is drawn, mostly one figure.
        absent: Why nothing is drawn, where nothing is.
    """

    id: str
    title: str
    says: str = ""
    figures: tuple[go.Figure, ...] = ()
    absent: str = ""

    def names(self) -> tuple[str, ...]:
        """Returns the file name of each figure, without its ending."""
        if len(self.figures) == 1:
            return (self.id,)
        return tuple(f"{self.id}-{index}" for index in range(1, len(self.figures) + 1))


def draw(facts: Facts, advance: Callable[[int], None]) -> list[Plot]:
    """Draws everything; tells ``advance`` of each plot."""
    made = []
    for plot in _all(facts):
        made.append(plot)
        advance(1)
    return made


def _all(facts: Facts) -> Iterator[Plot]:
    from orchestrator.report import costs, curves, failures, objectives, parameters, slots

    yield objectives.history(facts)
    if not facts.single:
        yield objectives.front(facts)
    yield curves.curves(facts)
    yield parameters.slices(facts)
    weights = parameters.importances_of(facts)
    yield parameters.importances(facts, weights)
    yield parameters.parallel(facts)
    yield parameters.contour(facts, weights)
    yield slots.timeline(facts)
    yield costs.saved(facts)
    yield costs.latency(facts)
    if facts.summary.rungs:
        yield costs.rungs(facts)
    yield failures.causes(facts)


COUNT = 13
"""How many plots there are at most."""
