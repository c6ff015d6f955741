"""A replica of one study, on which pruner classes of the user's own look at it: fed and asked as a sampler's is.

It runs in a process beside the loop, as such a class may hang, crash or eat memory. ``control.journal`` uses it
directly, for recordings that hold no answers.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Container, Iterator
from typing import Any

import msgspec
import optuna
from optuna.trial import FrozenTrial, TrialState

from orchestrator.model.attribute_keys import AUDITED, SHADOW
from orchestrator.pruning import Decision
from orchestrator.pruning.arguments import RuleArguments
from orchestrator.sampling import questions, rules
from orchestrator.sampling.judged_trials import SHADOW_PREFIX, condemned, of_the_shadow
from orchestrator.sampling.questions import Answer, Feed, Question, RuleName
from orchestrator.sampling.sampler_replica import ReplicaStorage
from orchestrator.sampling.staged_storage import in_states
from orchestrator.sampling.study_copy import StudyCopy
from orchestrator.spec import Spec


def own_classes(spec: Spec) -> dict[RuleName, RuleArguments]:
    """Returns the rules of a search that run a class of the user's own."""
    tables: dict[RuleName, RuleArguments] = {questions.SHADOW: spec.shadow, questions.RULE: spec.pruner}
    return {name: table for name, table in tables.items() if table.own_class}


class _PrunerStorage(ReplicaStorage):
    """A replica's storage that shows one rule the study as that rule has to take it.

    A trial that the rule has condemned, and that was let run on, ended there for it. A shadow has attributes of its
    own.
    """

    def __init__(self) -> None:
        super().__init__()
        self._looks: RuleName = questions.RULE
        self._judged: int | None = None
        # Attributes that were written here: what was committed of them may be older than what is here.
        self._written: set[tuple[int | None, str]] = set()

    def apply(self, feed: Feed) -> None:
        def others(attributes: dict[tuple[int, str], Any]) -> dict[tuple[int, str], Any]:
            return {key: value for key, value in attributes.items() if key not in self._written}

        def others_of_study(attributes: dict[str, Any]) -> dict[str, Any]:
            return {key: value for key, value in attributes.items() if (None, key) not in self._written}

        if self._written:
            feed = feed._replace(
                user_attrs=others(feed.user_attrs),
                late_user_attrs=others(feed.late_user_attrs),
                system_attrs=others(feed.system_attrs),
                records=others(feed.records),
                study_user_attrs=others_of_study(feed.study_user_attrs),
                study_system_attrs=others_of_study(feed.study_system_attrs),
            )
        super().apply(feed)

    def take_answer(self, question: Question) -> Answer:
        answer = super().take_answer(question)
        self._written |= {(trial, key) for trial, key, _ in (*answer.user_attrs, *answer.system_attrs)}
        self._written |= {(None, key) for key in (*answer.study_user_attrs, *answer.study_system_attrs)}
        return answer

    @contextlib.contextmanager
    def seen_by(self, rule: RuleName, trial: int) -> Iterator[None]:
        """Inside, this rule looks at the study in order to judge this trial."""
        self._looks, self._judged = rule, trial
        try:
            yield
        finally:
            self._looks, self._judged = questions.RULE, None

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._as_seen(super().get_trial(trial_id))

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = [self._as_seen(trial) for trial in super().get_all_trials(study_id, deepcopy=False)]
        return in_states(trials, states, deepcopy)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        # What a shadow tells people of a trial would look like the word of the rule that decides.
        if not self._is_shadow:
            super().set_trial_user_attr(trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        super().set_trial_system_attr(trial_id, self._key(key), value)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        if not self._is_shadow:
            super().set_study_user_attr(study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        super().set_study_system_attr(study_id, self._key(key), value)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._own(super().get_study_system_attrs(study_id))

    @property
    def _is_shadow(self) -> bool:
        return self._judged is not None and self._looks == questions.SHADOW

    def _key(self, key: str) -> str:
        return SHADOW_PREFIX + key if self._is_shadow else key

    def _own(self, attributes: dict[str, Any]) -> dict[str, Any]:
        return of_the_shadow(attributes) if self._is_shadow else attributes

    def _as_seen(self, trial: FrozenTrial) -> FrozenTrial:
        if self._judged is None:
            return trial
        shadow = self._is_shadow
        kept = None if trial.number == self._judged else condemned(trial, SHADOW if shadow else AUDITED)
        if kept is None or len(trial.intermediate_values) < int(kept["reports"]):
            kept = None
            if not shadow:
                return trial
        seen = copy.copy(trial)
        seen.system_attrs = self._own(trial.system_attrs)
        if kept is not None:
            seen.intermediate_values = dict(list(trial.intermediate_values.items())[: int(kept["reports"])])
            self._look_pruned(seen)
        return seen


class PrunerReplica:
    """One study's own pruner classes, on a copy of the study.

    Args:
        spec: The search.

    Raises:
        BadInput: a class cannot be imported, or does not take these arguments.
    """

    def __init__(self, spec: Spec) -> None:
        self._storage = _PrunerStorage()
        self._storage.create_study(spec.name, spec.objectives)
        study = optuna.Study(
            spec.name, self._storage, optuna.samplers.RandomSampler(seed=0), optuna.pruners.NopPruner()
        )
        self._rules = {name: rules.of_spec(spec, table, study) for name, table in own_classes(spec).items()}
        # What a shadow would say next of a trial that it has condemned is not asked for.
        self._condemned: set[int] = set()
        # By rule and trial: how many of the reports the rule was told.
        self._told: dict[tuple[RuleName, int], int] = {}

    def load(self, study: StudyCopy) -> None:
        """Takes in a study, or its next piece; before anything else."""
        self._storage.load(study)

    def apply(self, feed: Feed) -> None:
        """Takes in what was committed."""
        self._storage.apply(feed)
        for number, end in feed.ends.items():
            for name, rule in self._rules.items():
                if self._told.pop((name, number), None) is not None:
                    rule.finish(number, end.state)

    def answer(self, question: Question) -> Answer:
        """Returns what the classes say.

        Raises:
            RuleFailed: one raised.
        """
        number = question.trial
        decisions: dict[RuleName, Decision] = {}
        with self._storage.at(question.horizon):
            for name in question.rules:
                if name == questions.SHADOW and number in self._condemned:
                    continue
                with self._storage.seen_by(name, number):
                    self._tell(name, number)
                    decisions[name] = self._rules[name].judge(number)
                if name == questions.SHADOW and decisions[name].prune:
                    self._condemned.add(number)
        answer = self._storage.take_answer(question)
        return msgspec.structs.replace(answer, step=question.step, decisions=decisions)

    def _tell(self, name: RuleName, number: int) -> None:
        """Tells a rule what the trial has reported: one around a class of the user's asks it now and then."""
        reports = list(self._storage.get_trial(number).intermediate_values.items())
        for step, value in reports[self._told.get((name, number), 0) :]:
            self._rules[name].record(number, step, value)
        self._told[name, number] = len(reports)
