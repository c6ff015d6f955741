"""Tables of recorded learning curves: every epoch of every configuration is known, so nothing is trained."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CURVES = Path("..", "shared", "curves")
"""Where the large tables are by default, relative to the working folder; they are no part of the project."""

DIGITS = Path(__file__).parent / "digits.npz"
FAMILIES = {"lcbench": "LCBench", "taskset": "TaskSet", "digits": "digits"}


@dataclass(frozen=True)
class Table:
    """The curves of one task.

    Attributes:
        name: Of its file; up to the first underscore it is the family's.
        curves: (configurations, epochs), more is better; NaN where a training diverged.
    """

    name: str
    curves: NDArray[np.float64]

    @property
    def family(self) -> str:
        return self.name.partition("_")[0]

    @property
    def epochs(self) -> int:
        return self.curves.shape[1]

    @cached_property
    def best(self) -> float:
        """The best final value."""
        return float(np.nanmax(self.curves[:, -1]))

    @cached_property
    def scale(self) -> float:
        """Distance of the best value to the median of the final ones, of which NaN is the worst: the unit of regret."""
        final = np.nan_to_num(self.curves[:, -1], nan=-np.inf)
        return self.best - float(np.median(final))

    @cached_property
    def good(self) -> float:
        """The final value that the best 1 % of the configurations reach."""
        return float(np.nanquantile(self.curves[:, -1], 0.99))


def read(path: Path) -> Table:
    """Returns the table of an archive with ``curves`` and ``direction``."""
    with np.load(path) as archive:
        curves = np.asarray(archive["curves"], dtype=np.float64)
        minimize = str(archive["direction"]).startswith("min")
    if path.stem.startswith("taskset"):
        curves = curves[:, 1:]  # the first value is that before training
    return Table(path.stem, -curves if minimize else curves)


def read_all(folder: Path) -> list[Table]:
    """Returns the tables of a folder, by name, and that of the digits; none of what is not there."""
    found = [read(path) for path in sorted(folder.glob("*.npz"))] if folder.is_dir() else []
    return [*found, read(DIGITS)] if DIGITS.exists() else found
