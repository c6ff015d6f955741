"""Rules built from a name and arguments, as a spec gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna

from orchestrator.pruning import Direction, registry
from orchestrator.pruning.base import RuleBase
from orchestrator.sampling import rules


def build(
    name: str,
    arguments: Mapping[str, Any],
    direction: Direction,
    *,
    study_name: str = "s",
    max_steps: int | None = None,
    trials: int = 9,
    study: optuna.Study | None = None,
) -> RuleBase:
    table = registry.read({"name": name, **arguments})
    return rules.build(table, direction, study_name=study_name, max_steps=max_steps, trials=trials, study=study)
