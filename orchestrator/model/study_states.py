"""States of studies, as they are stored. ``docs/lifecycle.md`` draws the transitions; ``state_words`` has the words."""

from __future__ import annotations

from typing import Final, Literal

from orchestrator.common.advice import how_to
from orchestrator.common.errors import BadInput

StudyState = Literal["running", "paused", "interrupted", "ending", "finished", "failed", "stopped"]

OPTUNAS: Final = "optuna"
"""Shown in the place of a state for a study that Optuna has made and this program has never run."""

ENDED: Final[frozenset[StudyState]] = frozenset({"finished", "failed", "stopped"})
"""States in which no trial trains and none is asked for, unless the spec is run again."""

MOVES: Final[frozenset[StudyState]] = frozenset({"running", "ending"})
"""States in which a control plane has something to do; a study without one is unattended."""

HELD: Final[frozenset[StudyState]] = frozenset({"paused", "interrupted"})
"""States in which no trial is asked for until a person lets the study go on."""

GOES_ON: Final[frozenset[StudyState]] = HELD | {"running"}
"""States after which a trial that was asked for is still trained."""


def check_at_rest(study: str, state: str) -> None:
    """Raises BadInput where a study that a control plane looks after has not ended."""
    if state not in ENDED:
        raise BadInput(f"study '{study}'", f"is {state}", f"'{how_to('stop', study)}' ends it; then it can be deleted")
