"""Measurements of trials by their workers: their names and how they are shown. A new one is one entry here.

A worker sends them as ``measured`` of the event that ends an attempt. They are kept with the trial as one system
attribute, the highest of its attempts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rich import filesize

from tasks.contract import PEAK_GPU_MEMORY, PEAK_MEMORY


@dataclass(frozen=True)
class Measurement:
    """One measurement.

    Attributes:
        name: Name on the wire, in the database, in JSON and of the exported column; it ends with the unit.
        title: Head of its column in a table.
        phrase: What ``why`` says of it, with ``{}`` for the value.
        show: Formats a value.
    """

    name: str
    title: str
    phrase: str
    show: Callable[[int], str]


MEASUREMENTS: Final = (
    Measurement(PEAK_MEMORY, "memory", "its processes held {} of memory at the peak", filesize.decimal),
    Measurement(PEAK_GPU_MEMORY, "gpu memory", "PyTorch held {} on the GPU at the peak", filesize.decimal),
)


def highest(before: Mapping[str, int], measured: Mapping[str, float]) -> dict[str, int]:
    """Returns the higher value of each known measurement; leaves out unknown ones and what is not a finite number."""
    known = {each.name for each in MEASUREMENTS}
    found = {name: int(value) for name, value in measured.items() if name in known and math.isfinite(value)}
    return {**before, **{name: max(value, before.get(name, value)) for name, value in found.items()}}


def read_measured(text: str | None) -> dict[str, int]:
    """Returns the measurements of a trial from the JSON of its attribute; none where it has none."""
    found: Any = json.loads(text or "{}")
    return found if isinstance(found, dict) else {}


def sentence(measured: Mapping[str, int]) -> str:
    """Returns the measurements of a trial in words; empty where it has none."""
    found = [each.phrase.format(each.show(measured[each.name])) for each in MEASUREMENTS if each.name in measured]
    return ", ".join(found)
