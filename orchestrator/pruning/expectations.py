"""Expected ends of trials, as they are stored with the trials, and how far they came true."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from orchestrator.common.formatting import percent, with_error

EXPECTED = "index:expected"
"""System attribute of a trial: a list of (step, next step, end, spread), one for each rung that it has reached."""

BANDS = {50: 0.6744897501960817, 90: 1.6448536269514722}
"""Half the width of a normal distribution's central band in standard deviations, by the percent that it holds."""


class Expectation(msgspec.Struct, frozen=True, array_like=True):
    """The end that was expected of a trial when it came to a rung.

    Attributes:
        step: Of the rung.
        following: Step of the next rung, to which the trial would go on; ``step`` at the last.
        end: Expected value at the end.
        spread: Standard deviation of that.
    """

    step: int
    following: int
    end: float
    spread: float

    def text(self) -> str:
        """Returns it in words."""
        return f"expected to end at {with_error(self.end, self.spread)}"


def read(attributes: Mapping[str, Any]) -> list[Expectation]:
    """Returns what the system attributes of a trial hold; nothing where they hold something else."""
    try:
        found = msgspec.convert(attributes.get(EXPECTED, []), list[Expectation])
    except msgspec.ValidationError:
        return []
    return found if all(math.isfinite(each.end) and math.isfinite(each.spread) for each in found) else []


def newest(attributes: Mapping[str, Any]) -> Expectation | None:
    """Returns what the end of a trial is expected to be as of the last rung that it has reached."""
    kept = attributes.get(EXPECTED)
    # The last one alone: this is asked of every slot at every notice.
    found = read({EXPECTED: kept[-1:]}) if isinstance(kept, list) else []
    return found[0] if found else None


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """The number of ends that lay within the predicted bands.

    Attributes:
        predictions: How many there were of trials whose end is known; one for each rung but the last.
        within_50: How many of these ends lay within the central band of 50 %.
        within_90: The same of 90 %.
    """

    predictions: int
    within_50: int
    within_90: int

    def lines(self) -> list[str]:
        """Returns the figures in words, a line for each band."""
        return [
            f"{held} of {self.predictions} held within their {band}% band ({percent(held, self.predictions)})"
            for band, held in ((50, self.within_50), (90, self.within_90))
        ]


def calibrate(ended: Iterable[tuple[Mapping[str, Any], float]]) -> Calibration | None:
    """Compares predictions with ends; ``None`` where there is no prediction.

    Args:
        ended: System attributes and last reported value of the trials that were trained to their end. That value is
            the end only of a trial that did not come to the last rung: there, the end is the mean of the later reports.
    """
    predictions, within = 0, dict.fromkeys(BANDS, 0)
    for attributes, last in ended:
        expected = read(attributes)
        end = last
        if expected and expected[-1].following == expected[-1].step:
            end = expected.pop().end
        for each in expected:
            if math.isfinite(end):
                predictions += 1
                for band, width in BANDS.items():
                    within[band] += abs(end - each.end) <= width * each.spread
    return Calibration(predictions=predictions, within_50=within[50], within_90=within[90]) if predictions else None
