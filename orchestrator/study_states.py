"""Where a study stands. ``docs/lifecycle.md`` says what leads from one to the other."""

from __future__ import annotations

from typing import Final, Literal

StudyState = Literal["running", "paused", "ending", "finished", "failed", "stopped"]

ENDED: Final[frozenset[StudyState]] = frozenset({"finished", "failed", "stopped"})
"""Nobody trains for it any more, and nothing is asked for, unless its spec is run again."""
