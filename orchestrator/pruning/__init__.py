"""Pruning rules: they take in reports and answer, epoch by epoch, as Optuna's pruner of that name would."""

from orchestrator.pruning.base import Decision, Direction, Outcome, RuleBase, RuleFailed

__all__ = ["Decision", "Direction", "Outcome", "RuleBase", "RuleFailed"]
