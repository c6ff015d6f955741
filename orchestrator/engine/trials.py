"""The trials of one study: what is recorded of them, what the rule says to it, and what their end entails."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from orchestrator import pruning
from orchestrator.changes import DecisionRow
from orchestrator.engine.explain import attribute, describe
from orchestrator.mirror import Mirror
from orchestrator.notices import TrialEnded
from orchestrator.pruning import Decision, Outcome
from orchestrator.sampling import Asker, SamplerFailed
from orchestrator.spec import Spec
from tasks.contract import Attribute, Failed

DECISION = "pruned_by"
FAILURE = "failure"
"""User attributes of a trial: why it was pruned, how it failed."""

_OF_THE_OBJECTIVE = ("exception", "value", "import", "died")

_OUTCOMES: Mapping[TrialState, Outcome] = {
    TrialState.COMPLETE: "COMPLETE",
    TrialState.PRUNED: "PRUNED",
    TrialState.FAIL: "FAIL",
}


class Trials:
    """Everything about trials that has nothing to do with who trains them.

    Args:
        spec: The search.
        seed: Where the sampler's randomness comes from.

    Attributes:
        ended: Number of trials by terminal state.
        epochs: Number of recorded reports.
        epochs_saved: Epochs that pruned trials did not train, where ``max_steps`` is known.
        trouble: What the sampler could not do, when it has failed; nobody can go on then.
    """

    def __init__(self, spec: Spec, seed: int) -> None:
        self.mirror = Mirror()
        with self.mirror.loading():
            self.mirror.create_study(spec.name, [spec.direction])
        self.asker = Asker(spec.model_copy(update={"seed": seed}), seed, self.mirror)
        self.ended: Counter[str] = Counter()
        self.epochs = 0
        self.epochs_saved = 0
        self.trouble = ""
        self._max_steps = spec.max_steps
        self._rule = pruning.build(spec.pruner.name, spec.pruner.arguments(), spec.direction, study_name=spec.name)
        self._rule_attributes: dict[str, Any] = {}
        self._notices: list[TrialEnded] = []

    def restore(self, trials: Iterable[FrozenTrial], study_attributes: Mapping[str, Any]) -> list[str]:
        """Takes in what is stored; returns the error classes of the trials that their objective failed, in order."""
        errors = []
        with self.mirror.loading():
            for key, value in study_attributes.items():
                self.mirror.set_study_system_attr(0, key, value)
            self._rule.restore_study(study_attributes)
            self._rule_attributes = dict(self._rule.study_attributes())
            for trial in trials:
                self.mirror.create_new_trial(0, trial)
                self.epochs += len(trial.intermediate_values)
                outcome = _OUTCOMES.get(trial.state)
                if outcome is None:
                    self.asker.restore_ahead(trial)
                else:
                    self.ended[outcome] += 1
                if outcome == "PRUNED":
                    self._count_saved(trial)
                if outcome == "FAIL":
                    failure = trial.user_attrs.get(FAILURE, {})
                    if failure.get("cause") in _OF_THE_OBJECTIVE:
                        errors.append(str(failure.get("error", "")))
                self._rule.restore(trial.number, trial.intermediate_values, outcome, trial.system_attrs)
        return errors

    @property
    def count(self) -> int:
        """Number of trials there are, in whatever state."""
        return self.mirror.get_n_trials(0)

    def running(self) -> list[int]:
        """Returns the numbers of the trials that have not ended and do not wait to be popped."""
        trials = self.mirror.get_all_trials(0, deepcopy=False, states=(TrialState.RUNNING,))
        return [trial.number for trial in trials]

    def has_enqueued(self) -> bool:
        """Whether trials wait that a person enqueued."""
        return bool(self.mirror.get_all_trials(0, deepcopy=False, states=(TrialState.WAITING,)))

    def is_open(self, number: int) -> bool:
        """Whether the trial has not ended."""
        return not self.mirror.get_trial(number).state.is_finished()

    def take_notices(self) -> list[TrialEnded]:
        """Returns the ends since the last call."""
        notices, self._notices = self._notices, []
        return notices

    def report(self, number: int, step: int, value: float) -> Decision | None:
        """Records an epoch; returns the rule's decision, or ``None`` where the step was recorded before.

        That happens when a trial is trained again after a loss: the first value stands and was decided on, the new
        one is kept beside it.
        """
        if step in self.mirror.get_trial(number).intermediate_values:
            self.mirror.changes.redone.append((number, step, value))
            return None
        self.mirror.set_trial_intermediate_value(number, step, value)
        self.epochs += 1
        decision = self._rule.observe(number, step, value)
        stored = self.mirror.get_trial(number).system_attrs
        for key, kept in self._rule.attributes(number).items():
            if key not in stored:
                self.mirror.set_trial_system_attr(number, key, kept)
        self._keep_study_attributes()
        return decision

    def annotate(self, number: int, body: Attribute) -> bool:
        """Sets what the objective set: a user attribute, or a constraint, of which the first value counts.

        Returns whether that could be set: what is no JSON, or no number for a constraint, would spoil the study.
        """
        try:
            value = json.loads(body.value)
            json.dumps(value).encode()
        except (ValueError, RecursionError):
            return False
        if body.kind == "user":
            self.mirror.set_trial_user_attr(number, body.key, value)
            return True
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            return False
        key = f"constraints:{body.key}"
        if key not in self.mirror.get_trial(number).system_attrs:
            self.mirror.set_trial_system_attr(number, key, float(value))
        return True

    def prune(self, number: int, decision: Decision, at: float) -> None:
        """Ends a trial by a rule's decision, which is kept with it."""
        self.mirror.set_trial_user_attr(number, DECISION, attribute(decision))
        row = DecisionRow(number, decision.rule, decision.step, decision.value, decision.threshold, decision.peers, at)
        self.mirror.changes.decisions.append(row)
        self.end_pruned(number, describe(decision), at)

    def end_pruned(self, number: int, detail: str, at: float) -> None:
        """Ends a trial as pruned, with the value that Optuna would store: the last one reported, unless NaN."""
        trial = self.mirror.get_trial(number)
        self._count_saved(trial)
        value = math.nan if trial.last_step is None else trial.intermediate_values[trial.last_step]
        self._end(number, TrialState.PRUNED, None if math.isnan(value) else [value], detail, at)

    def complete(self, number: int, values: list[float], at: float) -> None:
        """Ends a trial with its values."""
        self._end(number, TrialState.COMPLETE, values, "", at)

    def fail(self, number: int, failure: Failed, at: float) -> None:
        """Ends a trial as failed; how is kept with it."""
        detail = {
            "cause": failure.cause,
            "error": failure.error,
            "message": failure.message,
            "traceback": failure.traceback,
            "exit_code": failure.exit_code,
        }
        kept = {key: value for key, value in detail.items() if value not in ("", None)}
        self.mirror.set_trial_user_attr(number, FAILURE, kept)
        text = f"{failure.error}: {failure.message}"
        self._end(number, TrialState.FAIL, None, text, at, failure.traceback)

    def withdraw(self, number: int, cause: str, at: float) -> None:
        """Ends as failed a trial that can do nothing for it."""
        self.mirror.set_trial_user_attr(number, FAILURE, {"cause": cause})
        self._end(number, TrialState.FAIL, None, cause, at)

    def _end(
        self, number: int, state: TrialState, values: list[float] | None, detail: str, at: float, traceback: str = ""
    ) -> None:
        trial = self.mirror.get_trial(number)
        ahead = self.mirror.ahead(number)
        self._notices.append(
            TrialEnded(
                number=number,
                state=state.name,
                value=values[0] if values else None,
                epochs=len(trial.intermediate_values),
                seconds=0.0 if trial.datetime_start is None else max(0.0, at - trial.datetime_start.timestamp()),
                params={name: value for name, value in trial.params.items() if name not in ahead},
                detail=detail,
                traceback=traceback,
            )
        )
        try:
            self.asker.finish(number, state, values)
        except SamplerFailed as error:
            self.trouble = str(error)
        outcome = _OUTCOMES[state]
        self.ended[outcome] += 1
        self._rule.finish(number, outcome)
        self._keep_study_attributes()

    def _count_saved(self, trial: FrozenTrial) -> None:
        if self._max_steps is not None:
            self.epochs_saved += max(0, self._max_steps - len(trial.intermediate_values))

    def _keep_study_attributes(self) -> None:
        if (settled := self._rule.study_attributes()) != self._rule_attributes:
            self._rule_attributes = dict(settled)
            for key, value in settled.items():
                self.mirror.set_study_system_attr(0, key, value)
