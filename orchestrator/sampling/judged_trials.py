"""The ends of trials as rules name them, and decisions that ended none: of an audit, or of a shadow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from optuna.trial import FrozenTrial, TrialState

from orchestrator.pruning import Outcome

OUTCOMES: Final[Mapping[TrialState, Outcome]] = {
    TrialState.COMPLETE: "COMPLETE",
    TrialState.PRUNED: "PRUNED",
    TrialState.FAIL: "FAIL",
}


SHADOW_PREFIX = "shadow:"
"""Before the keys of a shadow's system attributes."""


def condemned(trial: FrozenTrial, key: str) -> Mapping[str, Any] | None:
    """Returns what is kept of a decision that did not end the trial; ``key`` is ``AUDITED`` or ``SHADOW``."""
    kept = trial.user_attrs.get(key)
    return kept if isinstance(kept, dict) and isinstance(kept.get("reports"), int) else None


def of_the_shadow(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those of a trial's or a study's system attributes that are the shadow's, by its own keys."""
    return {
        key.removeprefix(SHADOW_PREFIX): value for key, value in attributes.items() if key.startswith(SHADOW_PREFIX)
    }
