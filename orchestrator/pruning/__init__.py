"""Pruning rules: folds over reports that answer, epoch by epoch, as Optuna's pruner of that name would."""

from orchestrator.pruning.base import Decision, Direction, Outcome, Rule, RuleFailed
from orchestrator.pruning.registry import NAMES, build

__all__ = ["NAMES", "Decision", "Direction", "Outcome", "Rule", "RuleFailed", "build"]
