"""The decisions of the rules about a report: of the one that decides, of its shadow, and the draw of audits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from orchestrator.engine.explanations import attribute
from orchestrator.model.attribute_keys import AUDITED, SHADOW
from orchestrator.model.changeset import DecisionAction, DecisionRow
from orchestrator.pruning import Decision, Outcome
from orchestrator.pruning.arguments import RuleArguments
from orchestrator.pruning.base import RuleBase
from orchestrator.pruning.hyperband import HyperbandRule
from orchestrator.pruning.pausing import PausingRule
from orchestrator.sampling import rules
from orchestrator.sampling.pruner_host import RULE
from orchestrator.sampling.pruner_host import SHADOW as SHADOW_RULE
from orchestrator.sampling.remote_pruner import WRITES, Answer, Remote, RemoteRule
from orchestrator.sampling.staged_storage import StagedStorage
from orchestrator.sampling.trial_sampler import derive
from orchestrator.spec import Spec

_PREFIX = "shadow:"


class PruningDecisions:
    """Asks the rules, and stages those parts of their answers that are kept.

    A trial that is condemned and audited has ended for the rule, which is told no more of it: an audit must not change
    what is decided about others. In the same way a shadow's trials end where it would have ended them.

    Args:
        spec: The search.
        seed: Where the draw of audited trials comes from.
        storage: Takes the changes.
        study: The storage as a study, for Optuna's own pruners.
        remote: Takes what the rules of the user's own classes are told and asked; ``None`` where there are none.

    Attributes:
        promotion: The rule, where it promotes trials.
    """

    def __init__(
        self, spec: Spec, seed: int, storage: StagedStorage, study: optuna.Study, remote: Remote | None
    ) -> None:
        self._storage = storage
        self._seed = seed
        self._audit = spec.audit
        self._maximize = spec.direction == "maximize"
        # A pruner of Optuna's looks at the whole study; where trials are audited it must not see those go on.
        self._remote = remote
        self._rule = _build(spec, spec.pruner, RULE, None if spec.audit else study, remote)
        self.promotion = self._rule if isinstance(self._rule, PausingRule) else None
        self._shadow = None if spec.shadow.name == "none" else _build(spec, spec.shadow, SHADOW_RULE, None, remote)
        self._audited: set[int] = set()
        self._shadowed: set[int] = set()
        self._undecided: tuple[int, float] | None = None
        self._closest: dict[int, float] = {}
        self._settled: dict[str, Any] = {}

    def restore_study(self, attributes: Mapping[str, Any], closest: Iterable[DecisionRow]) -> None:
        """Takes back what was settled for the study, and what came closest to ending each trial."""
        self._rule.restore_study(attributes)
        if self._shadow is not None:
            self._shadow.restore_study(_of_the_shadow(attributes))
        self._settled = self._study_attributes()
        for row in closest:
            self._closest[row.trial] = self._margin(row.value, row.threshold)

    def restore(self, trial: FrozenTrial, outcome: Outcome | None) -> None:
        """Takes in a stored trial without deciding anything."""
        number, values, attributes = trial.number, trial.intermediate_values, trial.system_attrs
        if trial.state is TrialState.RUNNING:
            self.start(number)
        result = trial.values[0] if outcome == "COMPLETE" and trial.values else None
        audited = condemned(trial, AUDITED)
        if audited is None:
            _tell_result(self._rule, number, result)
            self._rule.restore(number, values, outcome, attributes)
        else:
            self._audited.add(number)
            self._rule.restore(number, _first(values, audited), "PRUNED", attributes)
        if self._shadow is None:
            return
        shadowed = condemned(trial, SHADOW)
        attributes = _of_the_shadow(attributes)
        if shadowed is None:
            _tell_result(self._shadow, number, result)
            self._shadow.restore(number, values, outcome, attributes)
        else:
            self._shadowed.add(number)
            self._shadow.restore(number, _first(values, shadowed), "PRUNED", attributes)

    def observe(self, number: int, step: int, value: float, at: float) -> Decision | None:
        """Tells the rules of a report that was just recorded; returns the decision, unless no rule is asked any more,
        or the one that decides is asked in another process: then it comes with the answer.

        Raises:
            RuleFailed: a pruner of Optuna's raised.
        """
        if self._shadow is not None and number not in self._shadowed:
            self._take_shadow(number, _observe(self._shadow, number, step, value), at)
        decision = None
        if number not in self._audited and self._waits_for_shadow():
            self._undecided = step, value
        elif number not in self._audited:
            decision = _observe(self._rule, number, step, value)
        return self._take_decision(number, decision, at)

    def take_answer(self, answer: Answer, at: float) -> tuple[int, Decision | None]:
        """Takes in what the rules in another process say; returns the trial, and the decision as ``observe`` does.

        Raises:
            ValueError: no answer is awaited.
        """
        if self._remote is None:
            raise ValueError("an answer to a study whose rules are not asked elsewhere")
        number = self._remote.take_answer(answer)
        for method, arguments in answer.writes:
            if method in WRITES:
                getattr(self._storage, method)(*arguments)
        self._take_shadow(number, answer.decisions.get(SHADOW_RULE), at)
        decision = answer.decisions.get(RULE)
        if self._undecided is not None:
            (step, value), self._undecided = self._undecided, None
            decision = self._rule.observe(number, step, value)
        return number, self._take_decision(number, decision, at)

    def _waits_for_shadow(self) -> bool:
        """Whether the shadow's answer comes first, in whose note the trial must not have ended."""
        remote = self._remote
        return remote is not None and remote.asked is not None and not isinstance(self._rule, RemoteRule)

    def _take_shadow(self, number: int, told: Decision | None, at: float) -> None:
        if told is not None and told.prune and self._shadow is not None:
            self._shadowed.add(number)
            self._shadow.finish(number, "PRUNED")
            self._keep(number, SHADOW, "shadow", told, at)

    def _take_decision(self, number: int, decision: Decision | None, at: float) -> Decision | None:
        if decision is None:
            self._stage_attributes(number)
            return None
        if not decision.prune:
            self._note_closest(number, decision, at)
        elif self._audit and derive(self._seed, number, AUDITED) < self._audit * 2**32:
            self._audited.add(number)
            self._rule.finish(number, "PRUNED")
            self._keep(number, AUDITED, "audit", decision, at)
            self._stage_attributes(number)
            return None
        self._stage_attributes(number)
        return decision

    def finish(self, number: int, outcome: Outcome, value: float | None) -> None:
        """Tells the rules that a trial has ended, and with what value."""
        self._closest.pop(number, None)
        result = value if outcome == "COMPLETE" else None
        if number not in self._audited:
            _tell_result(self._rule, number, result)
            self._rule.finish(number, outcome)
        if self._shadow is not None and number not in self._shadowed:
            _tell_result(self._shadow, number, result)
            self._shadow.finish(number, outcome)
        self._stage_study_attributes()

    def stage(self, number: int, action: DecisionAction, decision: Decision, at: float) -> None:
        """Stages a decision that did something."""
        self._storage.changes.add_decision(_row(number, action, decision, at))

    def brackets(self) -> tuple[int, int, int] | None:
        """Returns hyperband's (min_resource, max_resource, reduction_factor), once they are settled."""
        rule = self._rule
        if not isinstance(rule, HyperbandRule) or rule.max_resource is None:
            return None
        return rule.min_resource, rule.max_resource, rule.reduction_factor

    def _keep(self, number: int, key: str, action: DecisionAction, decision: Decision, at: float) -> None:
        reports = len(self._storage.get_trial(number).intermediate_values)
        self._storage.set_trial_user_attr(number, key, attribute(decision) | {"reports": reports})
        self.stage(number, action, decision, at)

    def _note_closest(self, number: int, decision: Decision, at: float) -> None:
        if decision.threshold is None:
            return
        margin = self._margin(decision.value, decision.threshold)
        if margin < self._closest.get(number, math.inf):
            self._closest[number] = margin
            self._storage.changes.set_closest(_row(number, "keep", decision, at))

    def _margin(self, value: float | None, threshold: float | None) -> float:
        """Returns how far a value is on the good side of its threshold; infinite where that cannot be said."""
        if value is None or threshold is None:
            return math.inf
        margin = value - threshold if self._maximize else threshold - value
        return math.inf if math.isnan(margin) else margin

    def _stage_attributes(self, number: int) -> None:
        stored = self._storage.get_trial(number).system_attrs
        attributes: dict[str, Any] = self._rule.attributes(number)
        if self._shadow is not None:
            attributes = attributes | {_PREFIX + key: kept for key, kept in self._shadow.attributes(number).items()}
        for key, kept in attributes.items():
            if stored.get(key) != kept and not (kept != kept and key in stored):
                self._storage.set_trial_system_attr(number, key, kept)
        self._stage_study_attributes()

    def _stage_study_attributes(self) -> None:
        if (settled := self._study_attributes()) != self._settled:
            self._settled = settled
            for key, value in settled.items():
                self._storage.set_study_system_attr(0, key, value)

    def _study_attributes(self) -> dict[str, Any]:
        attributes = dict(self._rule.study_attributes())
        if self._shadow is not None:
            attributes |= {_PREFIX + key: value for key, value in self._shadow.study_attributes().items()}
        return attributes

    # -- promotion

    def start(self, number: int) -> None:
        """The trial has been asked for."""
        if self.promotion is not None:
            self.promotion.start(number)

    def take_back(self, number: int) -> None:
        """The trial was asked for, and does not begin now."""
        if self.promotion is not None:
            self.promotion.take_back(number)

    def pause(self, number: int) -> None:
        """The trial's slice is over."""
        if self.promotion is not None:
            self.promotion.pause(number)

    def promote(self, at: float) -> int | None:
        """Chooses the trial that goes on; stages why."""
        promotion = None if self.promotion is None else self.promotion.promote()
        if promotion is None:
            return None
        self.stage(promotion.trial, "promote", promotion.decision, at)
        self._stage_attributes(promotion.trial)
        return promotion.trial


def _observe(rule: RuleBase, number: int, step: int, value: float) -> Decision | None:
    """Tells a rule of a report; returns its decision, ``None`` where it is judged in another process."""
    if isinstance(rule, RemoteRule):
        rule.ask(number, step, value)
        return None
    return rule.observe(number, step, value)


def _build(
    spec: Spec, table: RuleArguments, target: str, study: optuna.Study | None, remote: Remote | None
) -> RuleBase:
    if table.own_class and remote is not None:
        return remote.rule(target, table.name)
    return rules.of_spec(spec, table, study)


def condemned(trial: FrozenTrial, key: str) -> Mapping[str, Any] | None:
    """Returns what is kept of a decision that did not end the trial; ``key`` is ``AUDITED`` or ``SHADOW``."""
    kept = trial.user_attrs.get(key)
    return kept if isinstance(kept, dict) and isinstance(kept.get("reports"), int) else None


def _tell_result(rule: RuleBase, number: int, result: float | None) -> None:
    if result is not None:
        rule.result(number, result)


def _row(number: int, action: DecisionAction, decision: Decision, at: float) -> DecisionRow:
    return DecisionRow(
        number, action, decision.rule, decision.step, decision.value, decision.threshold, decision.peers, at
    )


def _first(values: Mapping[int, float], condemned: Mapping[str, Any]) -> dict[int, float]:
    return dict(list(values.items())[: int(condemned["reports"])])


def _of_the_shadow(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(_PREFIX): value for key, value in attributes.items() if key.startswith(_PREFIX)}
