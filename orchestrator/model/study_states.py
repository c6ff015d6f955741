"""States of studies. ``docs/lifecycle.md`` draws the transitions."""

from __future__ import annotations

from typing import Final, Literal

StudyState = Literal["running", "paused", "ending", "finished", "failed", "stopped"]

OPTUNAS: Final = "optuna"
"""Shown in the place of a state for a study that Optuna has made and this program has never run."""

ENDED: Final[frozenset[StudyState]] = frozenset({"finished", "failed", "stopped"})
"""States in which no trial trains and none is asked for, unless the spec is run again."""
