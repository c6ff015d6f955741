"""The other half of ``remote_pruner``: carries out what the engine asks for, and runs the user's pruner.

It runs in a process of its own. ``control.journal`` also uses it directly, for recordings that hold no answers.
"""

from __future__ import annotations

import optuna

from orchestrator.pruning.base import Decision, RuleBase
from orchestrator.sampling import rules
from orchestrator.sampling.remote_pruner import WRITES, Answer, Operation, Question
from orchestrator.sampling.staged_storage import StagedStorage
from orchestrator.spec import Spec

RULE, SHADOW = "rule", "shadow"
"""Names of a study's rules in operations."""


class Judge:
    """A replica of one study, and the rules of it that run the user's own class.

    Args:
        spec: The search.

    Raises:
        BadInput: a class cannot be imported, or does not take these arguments.
    """

    def __init__(self, spec: Spec) -> None:
        self._storage = StagedStorage()
        self._storage.create_study(spec.name, spec.objectives)
        self._study = optuna.Study(
            spec.name, self._storage, optuna.samplers.RandomSampler(seed=0), optuna.pruners.NopPruner()
        )
        self._rules: dict[str, RuleBase] = {}
        if spec.pruner.own_class:
            self._rules[RULE] = rules.of_spec(spec, spec.pruner, None if spec.audit else self._study)
        if spec.shadow.own_class:
            self._rules[SHADOW] = rules.of_spec(spec, spec.shadow)

    def answer(self, question: Question) -> Answer:
        """Carries the operations out, and returns what the rules say.

        Raises:
            RuleFailed: a pruner raised.
        """
        decisions: dict[str, Decision] = {}
        for operation in question.operations:
            if operation.target == "storage":
                self._write(operation)
            elif operation.method == "observe":
                decisions[operation.target] = self._rules[operation.target].observe(*operation.arguments)
            else:
                getattr(self._rules[operation.target], operation.method)(*operation.arguments)
        return Answer(
            decisions,
            {target: self._rules[target].attributes(question.trial) for target in decisions},
            {target: rule.study_attributes() for target, rule in self._rules.items()},
            self._written(),
        )

    def _write(self, operation: Operation) -> None:
        self._storage.now = operation.now
        with self._storage.loading():
            if operation.ahead:
                with self._storage.sampling_ahead():
                    getattr(self._storage, operation.method)(*operation.arguments)
            else:
                getattr(self._storage, operation.method)(*operation.arguments)

    def _written(self) -> list[tuple[str, list[object]]]:
        """Returns what the pruner has written to the study."""
        changes = self._storage.take_changes()
        of_trials = (changes.user_attrs, changes.system_attrs)
        of_study = (changes.study_user_attrs, changes.study_system_attrs)
        written: list[tuple[str, list[object]]] = []
        for method, attributes in zip(WRITES[:2], of_trials, strict=True):
            written += [(method, [trial, key, value]) for (trial, key), value in attributes.items()]
        for method, settled in zip(WRITES[2:], of_study, strict=True):
            written += [(method, [0, key, value]) for key, value in settled.items()]
        return written


def has_own_class(spec: Spec) -> bool:
    """Whether the search is judged by a class of the user's own."""
    return spec.pruner.own_class or spec.shadow.own_class
