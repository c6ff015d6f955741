"""A pruner class of a user's own that answers twice and then hangs."""

from __future__ import annotations

import optuna
from optuna.trial import FrozenTrial


class Hangs(optuna.pruners.BasePruner):
    def __init__(self) -> None:
        self.asked = 0

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:  # noqa: ARG002
        self.asked += 1
        while self.asked > 2:
            pass
        return False
