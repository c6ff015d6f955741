"""A plot, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go


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
