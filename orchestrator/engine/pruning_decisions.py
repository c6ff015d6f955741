"""The decisions of the rules about a report: of the one that decides, of its shadow, and the draw of audits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from orchestrator.engine.explanations import attribute
from orchestrator.engine.open_questions import OpenQuestions
from orchestrator.model.attribute_keys import AUDITED, SHADOW
from orchestrator.model.changeset import DecisionAction, DecisionRow
from orchestrator.pruning import Decision, Outcome
from orchestrator.pruning.arguments import RuleArguments
from orchestrator.pruning.base import RuleBase
from orchestrator.pruning.hyperband import HyperbandRule
from orchestrator.pruning.pausing import PausingRule
from orchestrator.sampling import rules
from orchestrator.sampling.judged_trials import SHADOW_PREFIX, condemned, of_the_shadow
from orchestrator.sampling.questions import RULE, Answer, Question, RuleName
from orchestrator.sampling.questions import SHADOW as SHADOW_RULE
from orchestrator.sampling.staged_storage import StagedStorage
from orchestrator.sampling.trial_sampler import derive
from orchestrator.spec import Spec


class PruningDecisions:
    """Asks the rules, and stages those parts of their answers that are kept.

    A trial that is condemned and audited has ended for the rule, which is told no more of it: an audit must not change
    what is decided about others. In the same way a shadow's trials end where it would have ended them.

    Args:
        spec: The search.
        seed: Where the draw of audited trials comes from.
        storage: Takes the changes.
        study: The storage as a study, for Optuna's own pruners.
        questions: Takes what pruner classes of the user's own are asked.

    Attributes:
        promotion: The rule, where it promotes trials.
    """

    def __init__(
        self, spec: Spec, seed: int, storage: StagedStorage, study: optuna.Study, questions: OpenQuestions
    ) -> None:
        self._storage = storage
        self._questions = questions
        self._seed = seed
        self._audit = spec.audit
        self._maximize = spec.direction == "maximize"
        # A pruner of Optuna's looks at the whole study; where trials are audited it must not see those go on.
        self._rule = _build(spec, spec.pruner, None if spec.audit else study)
        self.promotion = self._rule if isinstance(self._rule, PausingRule) else None
        self._shadow = None if spec.shadow.name == "none" else _build(spec, spec.shadow, None)
        # Found out once: of abstract classes that takes as long as many a rule takes to decide.
        self._asks_rule = isinstance(self._rule, OwnClass)
        self._asks_shadow = isinstance(self._shadow, OwnClass)
        self._hyperband = self._rule if isinstance(self._rule, HyperbandRule) else None
        self._audited: set[int] = set()
        self._shadowed: set[int] = set()
        self._closest: dict[int, float] = {}
        self._settled: dict[str, Any] = {}

    def restore_study(self, attributes: Mapping[str, Any], closest: Iterable[DecisionRow]) -> None:
        """Takes back what was settled for the study, and what came closest to ending each trial."""
        self._rule.restore_study(attributes)
        if self._shadow is not None:
            self._shadow.restore_study(of_the_shadow(attributes))
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
        attributes = of_the_shadow(attributes)
        if shadowed is None:
            _tell_result(self._shadow, number, result)
            self._shadow.restore(number, values, outcome, attributes)
        else:
            self._shadowed.add(number)
            self._shadow.restore(number, _first(values, shadowed), "PRUNED", attributes)

    def observe(self, number: int, step: int, value: float, at: float) -> Decision | None:
        """Tells the rules of a report that was just recorded; returns the decision. ``None`` where the rule that
        decides is asked no more, or is a class of the user's own: what that says comes with the answer.

        Raises:
            RuleFailed: a pruner of Optuna's raised.
        """
        asked: list[RuleName] = []
        decision = None
        if self._shadow is not None and number not in self._shadowed:
            if self._asks_shadow:
                asked.append(SHADOW_RULE)
            else:
                self._take_shadow(number, self._shadow.observe(number, step, value), self._reports(number), at)
        if number not in self._audited:
            if self._asks_rule:
                asked.append(RULE)
            else:
                decision = self._rule.observe(number, step, value)
        if asked:
            # A paused trial is no pruned one to a pruner.
            place = self._questions.place(pauses=False)
            self._questions.next_turn()
            self._questions.mark(Question("report", number, place, step=step, value=value, rules=tuple(asked)))
        return self._take_decision(number, decision, self._reports(number), at)

    def take_answer(self, answer: Answer, at: float) -> Decision | None:
        """Takes in what classes of the user's own say of a report; returns the decision as ``observe`` does."""
        number = answer.trial
        # The trial may have gone on, or ended, meanwhile.
        reports = list(self._storage.get_trial(number).intermediate_values).index(answer.step) + 1
        if (told := answer.decisions.get(SHADOW_RULE)) is not None and number not in self._shadowed:
            self._take_shadow(number, told, reports, at)
        if self._storage.has_ended(number):
            return None
        return self._take_decision(number, answer.decisions.get(RULE), reports, at)

    def _reports(self, number: int) -> int:
        return len(self._storage.get_trial(number).intermediate_values)

    def _take_shadow(self, number: int, told: Decision, reports: int, at: float) -> None:
        if told.prune and self._shadow is not None:
            self._shadowed.add(number)
            self._shadow.finish(number, "PRUNED")
            self._keep(number, SHADOW, "shadow", told, reports, at)

    def _take_decision(self, number: int, decision: Decision | None, reports: int, at: float) -> Decision | None:
        if decision is None:
            self._stage_attributes(number)
            return None
        if not decision.prune:
            self._note_closest(number, decision, at)
        elif self._audit and derive(self._seed, number, AUDITED) < self._audit * 2**32:
            self._audited.add(number)
            self._rule.finish(number, "PRUNED")
            self._keep(number, AUDITED, "audit", decision, reports, at)
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
        rule = self._hyperband
        if rule is None or rule.max_resource is None:
            return None
        return rule.min_resource, rule.max_resource, rule.reduction_factor

    def _keep(self, number: int, key: str, action: DecisionAction, decision: Decision, reports: int, at: float) -> None:
        self._storage.set_late_user_attr(number, key, attribute(decision) | {"reports": reports})
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
        attributes: dict[str, Any] = self._rule.attributes(number)
        if self._shadow is not None:
            of_shadow = self._shadow.attributes(number)
            attributes = attributes | {SHADOW_PREFIX + key: kept for key, kept in of_shadow.items()}
        if attributes:
            stored = self._storage.get_trial(number).system_attrs
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
            attributes |= {SHADOW_PREFIX + key: value for key, value in self._shadow.study_attributes().items()}
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


class OwnClass(RuleBase):
    """Stands for a pruner class of the user's own, which is asked elsewhere: it is told nothing, as it looks at the
    study, and what it keeps comes with its answers."""

    def record(self, trial: int, step: int, value: float) -> None:
        pass

    def judge(self, trial: int) -> Decision:
        raise RuntimeError(f"trial {trial}: the rule '{self.name}' is judged in another process")

    def finish(self, trial: int, state: Outcome) -> None:
        pass


def _build(spec: Spec, table: RuleArguments, study: optuna.Study | None) -> RuleBase:
    return OwnClass(table.name) if table.own_class else rules.of_spec(spec, table, study)


def _tell_result(rule: RuleBase, number: int, result: float | None) -> None:
    if result is not None:
        rule.result(number, result)


def _row(number: int, action: DecisionAction, decision: Decision, at: float) -> DecisionRow:
    return DecisionRow(
        number, action, decision.rule, decision.step, decision.value, decision.threshold, decision.peers, at
    )


def _first(values: Mapping[int, float], condemned: Mapping[str, Any]) -> dict[int, float]:
    return dict(list(values.items())[: int(condemned["reports"])])
