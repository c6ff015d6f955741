"""A sampler class of a user's own whose process dies while a file is there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial


class Dies(RandomSampler):
    def __init__(self, deadly: str) -> None:
        super().__init__(seed=1)
        self._deadly = Path(deadly)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if self._deadly.exists():
            os._exit(3)
        return super().sample_independent(study, trial, param_name, param_distribution)
