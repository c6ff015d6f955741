"""How trials were expected to end, as it is stored with them; and how far that came true."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

EXPECTED = "index:expected"
"""System attribute of a trial: a list of (step, next step, end, spread), one for each rung that it has reached."""

BANDS = {50: 0.6744897501960817, 90: 1.6448536269514722}
"""Half the width of a normal distribution's central band in standard deviations, by the percent that it holds."""


class Expectation(msgspec.Struct, frozen=True, array_like=True):
    """What the end of a trial was expected to be when it came to a rung.

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


def read(attributes: Mapping[str, Any]) -> list[Expectation]:
    """Returns what the system attributes of a trial hold; nothing where they hold something else."""
    try:
        found = msgspec.convert(attributes.get(EXPECTED, []), list[Expectation])
    except msgspec.ValidationError:
        return []
    return found if all(math.isfinite(each.end) and math.isfinite(each.spread) for each in found) else []


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """How many ends lay within the bands that were predicted.

    Attributes:
        predictions: How many there were of trials whose end is known; one for each rung but the last.
        within_50: How many of these ends lay within the central band of 50 %.
        within_90: The same of 90 %.
    """

    predictions: int
    within_50: int
    within_90: int


def calibrate(ended: Iterable[tuple[Mapping[str, Any], float]]) -> Calibration | None:
    """Compares predictions with ends; ``None`` where there is no prediction.

    Args:
        ended: System attributes and last reported value of the trials that were trained to their end. That value is
            the end only of a trial that did not come to the last rung: there, the end is the mean of the later reports.
    """
    count, within = 0, dict.fromkeys(BANDS, 0)
    for attributes, last in ended:
        expected = read(attributes)
        end = last
        if expected and expected[-1].following == expected[-1].step:
            end = expected.pop().end
        for each in expected:
            if math.isfinite(end):
                count += 1
                for band, width in BANDS.items():
                    within[band] += abs(end - each.end) <= width * each.spread
    return Calibration(predictions=count, within_50=within[50], within_90=within[90]) if count else None
