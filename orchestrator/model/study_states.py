"""Where a study stands. ``docs/lifecycle.md`` says what leads from one to the other."""

from __future__ import annotations

from typing import Final, Literal

StudyState = Literal["running", "paused", "ending", "finished", "failed", "stopped"]

OPTUNAS: Final = "optuna"
"""Shown in the place of a state for a study that Optuna has made and this program has never run."""

ENDED: Final[frozenset[StudyState]] = frozenset({"finished", "failed", "stopped"})
"""Nobody trains for it any more, and nothing is asked for, unless its spec is run again."""
