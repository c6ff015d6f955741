"""The ends of trials, by Optuna's states and by the rules' names for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from optuna.trial import TrialState

from orchestrator.pruning import Outcome

OUTCOMES: Final[Mapping[TrialState, Outcome]] = {
    TrialState.COMPLETE: "COMPLETE",
    TrialState.PRUNED: "PRUNED",
    TrialState.FAIL: "FAIL",
}
