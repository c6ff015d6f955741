"""The trials of one study: recording, the rule's decisions, promotion, and their ends."""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, get_args

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from orchestrator.engine.annotations import Sources, failure_attribute, read_enqueued
from orchestrator.engine.best_so_far import BestSoFar
from orchestrator.engine.explanations import attribute, describe
from orchestrator.engine.open_questions import OpenQuestions
from orchestrator.engine.pruning_decisions import PruningDecisions
from orchestrator.engine.sampling_questions import SamplingQuestions
from orchestrator.model.attribute_keys import DECISION, EXTRA, FAILURE, FIXED, RETRY_OF, RETURNED, SOURCE, WITHIN
from orchestrator.model.changeset import DecisionRow, TrialEnd
from orchestrator.model.progress_events import OtherSource, TakenUp, TrialEnded
from orchestrator.model.trial_length import Lengths, saved
from orchestrator.pruning import Decision, RuleFailed
from orchestrator.sampling.judged_trials import OUTCOMES
from orchestrator.sampling.staged_storage import StagedStorage
from orchestrator.spec import Spec
from tasks.contract import EnqueueTrial, Failed, FailureCause, Slice

_OF_THE_OBJECTIVE = frozenset(get_args(FailureCause)) - {"revoked"}


class Trials:
    """The trials, without the attempts to train them.

    Args:
        spec: The search.
        seed: Where the sampler's randomness comes from.

    Attributes:
        ended: Number of trials by terminal state.
        lengths: How far the trials are trained.
        epochs_saved: Epochs that pruned trials did not train, where ``max_steps`` is known.
        extra: Number of trials that are beside the spec's budget.
        enqueued: Numbers of the trials that a person enqueued and that wait to be asked for.
        within: Numbers of those that wait for room in the budget: an objective enqueued them, or they were asked for
            and their study ended before they began.
        paused: Numbers of the trials that wait at a rung to be promoted.
        decisions: Asks the rules.
        questions: What is asked of processes beside the loop.
        sampler: Asks the sampler, and takes its answers in.
        study: The study as Optuna's own code reads it.
        best: The best of them, and the unfinished one that leads.
        trouble: How the sampler or a pruner has failed, which ends the study; empty as long as none has.
    """

    def __init__(self, spec: Spec, seed: int) -> None:
        self.storage = StagedStorage()
        with self.storage.loading():
            self.storage.create_study(spec.name, spec.objectives)
        self.paused: set[int] = set()
        self.questions = OpenQuestions(self.storage)
        self.sampler = SamplingQuestions(spec, self.storage, self.questions)
        self.study = optuna.study.Study(
            spec.name, self.storage, optuna.samplers.RandomSampler(seed=0), optuna.pruners.NopPruner()
        )
        self.ended: Counter[str] = Counter()
        self.lengths = Lengths(spec.max_steps)
        self.epochs_saved = 0
        self.trouble = ""
        self.enqueued: set[int] = set()
        self.within: set[int] = set()
        self.extra = 0
        self._max_steps = spec.max_steps
        self._restarts = spec.pruner.restarts
        self.decisions = PruningDecisions(spec, seed, self.storage, self.study, self.questions)
        self._notices: list[TrialEnded | OtherSource | TakenUp] = []
        self._taken_up: TakenUp | None = None
        self._sources = Sources(self.storage)
        self._just_ended: list[int] = []
        self._heard: list[int] = []
        one = len(spec.objectives) == 1
        self.best = BestSoFar(self.study, self.storage, maximize=spec.direction == "maximize" if one else None)
        # Numbers of those that have completed or were pruned, sorted.
        self._judged: list[int] = []

    def restore(
        self,
        trials: Iterable[FrozenTrial],
        study_attributes: Mapping[str, Any],
        closest: Iterable[DecisionRow] = (),
    ) -> list[str]:
        """Takes in what is stored; returns the error classes of the trials that their objective failed, in order."""
        errors = []
        with self.storage.loading():
            for key, value in study_attributes.items():
                self.storage.set_study_system_attr(0, key, value)
            self.decisions.restore_study(study_attributes, closest)
            for trial in trials:
                self.storage.load_trial(trial)
                self.extra += EXTRA in trial.system_attrs
                if trial.intermediate_values:
                    self.lengths.add(trial.number, *trial.intermediate_values)
                self._sources.restore(trial.number, trial.user_attrs.get(SOURCE))
                outcome = OUTCOMES.get(trial.state)
                if trial.state is TrialState.WAITING:
                    (self.within if WITHIN in trial.system_attrs else self.enqueued).add(trial.number)
                elif outcome is not None:
                    self.ended[outcome] += 1
                self.sampler.restore(trial)
                self.best.restore(trial)
                if outcome == "PRUNED":
                    self._count_saved(trial)
                if outcome == "COMPLETE" and not self.sampler.awaits_end_of(trial.number):
                    self.best.add(self.storage.get_trial(trial.number))
                if outcome in ("COMPLETE", "PRUNED"):
                    insort(self._judged, trial.number)
                if outcome == "FAIL":
                    failure = trial.user_attrs.get(FAILURE)
                    if isinstance(failure, dict) and failure.get("cause") in _OF_THE_OBJECTIVE:
                        errors.append(str(failure.get("error", "")))
                self.decisions.restore(trial, outcome)
        self._deal_brackets()
        return errors

    @property
    def epochs(self) -> int:
        """Number of epochs, or steps, that all trials together have trained."""
        return self.lengths.total

    @property
    def count(self) -> int:
        """Number of trials there are, in whatever state."""
        return self.storage.get_n_trials(0)

    @property
    def taken(self) -> int:
        """Number of those that take a place in the budget."""
        return self.count - len(self.within)

    def running(self) -> list[int]:
        """Returns the numbers of the trials that have not ended and do not wait to be popped."""
        trials = self.storage.get_all_trials(0, deepcopy=False, states=(TrialState.RUNNING,))
        return [trial.number for trial in trials]

    def enqueue(self, params: Mapping[str, Any], *, extra: bool = False) -> int:
        """Makes a trial with these parameters, which is asked for before new ones are sampled; ``extra`` is one beside
        the budget. Returns its number."""
        number = self.storage.create_new_trial(0, create_trial(state=TrialState.WAITING))
        if params:
            self.storage.set_trial_system_attr(number, FIXED, dict(params))
        if extra:
            self.storage.set_trial_system_attr(number, EXTRA, True)
            self.extra += 1
        self.enqueued.add(number)
        self.sampler.note_waiting(number)
        return number

    def enqueue_within(self, body: EnqueueTrial) -> bool:
        """Makes a trial that an objective enqueued; returns whether that could be done."""
        if (wanted := read_enqueued(body)) is None:
            return False
        params, user_attrs = wanted
        number = self.enqueue(params)
        self.enqueued.discard(number)
        self.within.add(number)
        self.storage.set_trial_system_attr(number, WITHIN, True)
        for name, value in user_attrs.items():
            self.storage.set_trial_user_attr(number, name, value)
        return True

    def retry(self, number: int) -> None:
        """Makes a trial with the parameters of one that has ended, those that it was given and did not come to take
        included."""
        trial = self.storage.get_trial(number)
        # Sorted: in the database they stand in the order in which they were taken, here in that of the sampling.
        params = dict(sorted((trial.system_attrs.get(FIXED, {}) | trial.params).items()))
        self.storage.set_trial_user_attr(self.enqueue(params, extra=True), RETRY_OF, number)

    def ask(self) -> int:
        """Asks for the next trial; returns its number."""
        # What a person enqueued goes before what an objective did, and has its place beside the budget.
        waiting = min(self.enqueued or self.within, default=None)
        again = waiting is not None and RETURNED in self.storage.get_trial(waiting).system_attrs
        number = self.sampler.ask(waiting, sampled=again)
        if again:
            self.storage.clear_mark(number, RETURNED)
        self.enqueued.discard(number)
        self.within.discard(number)
        self.decisions.start(number)
        return number

    def put_back(self, number: int) -> None:
        """Lets a trial that was asked for and never began wait to be asked for again: it takes no place in the budget,
        and keeps what was sampled for it."""
        if not {EXTRA, FIXED} & self.storage.get_trial(number).system_attrs.keys():
            self.storage.set_trial_system_attr(number, WITHIN, True)
        self.storage.set_trial_system_attr(number, RETURNED, True)
        self.sampler.put_back(number)
        self.decisions.take_back(number)
        (self.within if WITHIN in self.storage.get_trial(number).system_attrs else self.enqueued).add(number)

    def ended_after(self, number: int) -> int:
        """Returns how many trials with a higher number have completed or were pruned."""
        return len(self._judged) - bisect_right(self._judged, number)

    def is_open(self, number: int) -> bool:
        """Whether the trial has not ended."""
        return not self.storage.has_ended(number)

    def tell_taken_up(self, numbers: Iterable[int]) -> None:
        """Tells that these trials, which another program had asked for, are attempted here."""
        self._taken_up = TakenUp(numbers=tuple(numbers))
        self._notices.append(self._taken_up)

    def tell_again(self) -> None:
        """Tells it once more, to a person who continues the study and was not there when it was told."""
        if self._taken_up is not None and self._taken_up not in self._notices:
            self._notices.append(self._taken_up)
        self._taken_up = None

    def take_notices(self) -> list[TrialEnded | OtherSource | TakenUp]:
        """Returns the ends, the news of other source, and of trials that were taken up, since the last call."""
        notices, self._notices = self._notices, []
        return notices

    def heard(self, number: int) -> None:
        """The sampler has been heard about a trial that has ended: it may be the best now, or no longer."""
        trial = self.storage.get_trial(number)
        if trial.state is TrialState.COMPLETE:
            self.best.add(trial)
        self._heard.append(number)

    def take_judged(self, ends: Mapping[int, TrialEnd]) -> dict[int, TrialEnd]:
        """Returns the ends since the last call that the sampler may learn: those of ``ends`` that do not wait for its
        answer, and those whose answer has come."""
        heard, self._heard = self._heard, []
        found = {number: end for number, end in ends.items() if not self.sampler.awaits_end_of(number)}
        for number in heard:
            trial = self.storage.get_trial(number)
            at = 0.0 if trial.datetime_complete is None else trial.datetime_complete.timestamp()
            found[number] = TrialEnd(trial.state.name, None if trial.values is None else tuple(trial.values), at)
        return found

    def take_ended(self) -> list[int]:
        """Returns the numbers of the trials that have ended since the last call."""
        ended, self._just_ended = self._just_ended, []
        return ended

    def report(self, number: int, step: int, value: float, at: float) -> Decision | None:
        """Records an epoch; returns the rule's decision, or ``None`` where no rule is asked, or one elsewhere.

        None is asked where the step was recorded before, as a trial is trained again after a loss: the first value
        stands and was decided on, the new one is kept beside it.
        """
        if step in self.storage.get_trial(number).intermediate_values:
            self.storage.changes.add_redone(number, step, value)
            return None
        self.storage.set_trial_intermediate_value(number, step, value)
        self.lengths.add(number, step)
        self.best.report(number, step, value)
        try:
            decision = self.decisions.observe(number, step, value, at)
        except RuleFailed as error:
            self.trouble = f"the pruner failed: {error}"
            return None
        self._deal_brackets()
        return decision

    def note_source(self, number: int, digest: str) -> None:
        """Keeps which source the objective had."""
        if news := self._sources.note(number, digest):
            self._notices.append(news)

    def prune(self, number: int, decision: Decision, at: float) -> None:
        """Ends a trial by a rule's decision, which is kept with it."""
        self.storage.set_trial_user_attr(number, DECISION, attribute(decision))
        self.decisions.stage(number, "prune", decision, at)
        self.end_pruned(number, describe(decision), at)

    @property
    def promotes(self) -> bool:
        """Whether trials are paused at rungs and promoted."""
        return self.decisions.promotion is not None

    def slice(self, number: int) -> Slice | None:
        """Returns the part of the trial that is to be trained next; ``None`` where it runs to its end."""
        rule = self.decisions.promotion
        until = None if rule is None else rule.until(number)
        beyond = None if rule is None else rule.beyond(number)
        if until is None or beyond is None:
            return None
        return Slice(until_step=until, checkpoint_by=beyond, restart=self._restarts)

    def pause(self, number: int) -> None:
        """Pauses the trial at its rung; to the sampler it looks as if it had been pruned there."""
        self.decisions.pause(number)
        self.paused.add(number)
        self.questions.pause(number)
        self.storage.show_pruned(number, True)

    def may_promote(self) -> bool:
        """Whether a trial would be promoted if a slot were free."""
        return self.decisions.promotion is not None and self.decisions.promotion.may_promote()

    def promote(self, at: float) -> int | None:
        """Chooses the trial that goes on, if one may; it is as good as running then."""
        number = self.decisions.promote(at)
        if number is not None:
            self.paused.discard(number)
            self.questions.go_on(number)
            self.storage.show_pruned(number, False)
        return number

    def expect_configurations(self, count: int) -> None:
        """Says how many trials there will be, which is the size of a table of configurations."""
        rule = self.decisions.promotion
        if rule is not None and rule.table is not None:
            rule.table = count

    def expect_new(self, more: bool) -> None:
        """Says whether new trials may still start."""
        if self.decisions.promotion is not None:
            self.decisions.promotion.expect_new(more)

    def end_paused(self, number: int, at: float) -> None:
        """Ends as pruned a trial that was not promoted."""
        rule = self.decisions.promotion
        self.paused.discard(number)
        self.questions.go_on(number)
        self.storage.show_pruned(number, False)
        if rule is None:
            self.end_pruned(number, "its study promotes no trials any more", at)
            return
        decision = rule.standing(number)
        self.storage.set_trial_user_attr(number, DECISION, attribute(decision))
        self.decisions.stage(number, "end", decision, at)
        self.end_pruned(number, f"not promoted: {describe(decision)}", at)

    def end_pruned(self, number: int, detail: str, at: float, value: float | None = None) -> None:
        """Ends a trial as pruned, with this value or, as Optuna does, with the last one reported unless that is NaN."""
        trial = self.storage.get_trial(number)
        self._count_saved(trial)
        if value is None:
            value = math.nan if trial.last_step is None else trial.intermediate_values[trial.last_step]
        self._end(number, TrialState.PRUNED, None if math.isnan(value) else [value], detail, at)

    def complete(self, number: int, values: list[float], at: float) -> None:
        """Ends a trial with its values."""
        self._end(number, TrialState.COMPLETE, values, "", at)

    def fail(self, number: int, failure: Failed, at: float) -> None:
        """Ends a trial as failed; the failure is kept with it."""
        self.storage.set_trial_user_attr(number, FAILURE, failure_attribute(failure))
        text = f"{failure.error}: {failure.message}"
        self._end(number, TrialState.FAIL, None, text, at, failure.traceback)

    def withdraw(self, number: int, cause: str, at: float) -> None:
        """Ends as failed a trial that is not to blame for it."""
        self.storage.set_trial_user_attr(number, FAILURE, {"cause": cause})
        self._end(number, TrialState.FAIL, None, cause, at)

    def _end(
        self, number: int, state: TrialState, values: list[float] | None, detail: str, at: float, traceback: str = ""
    ) -> None:
        trial = self.storage.get_trial(number)
        ahead = self.storage.ahead(number)
        self._notices.append(
            TrialEnded(
                number=number,
                state=state.name,
                values=tuple(values or ()),
                epochs=len(trial.intermediate_values),
                seconds=0.0 if trial.datetime_start is None else max(0.0, at - trial.datetime_start.timestamp()),
                params={name: value for name, value in trial.params.items() if name not in ahead},
                detail=detail,
                traceback=traceback,
            )
        )
        self.sampler.finish(number, state, values)
        self.best.drop(number)
        outcome = OUTCOMES[state]
        self.ended[outcome] += 1
        if outcome == "COMPLETE" and not self.sampler.awaits_end_of(number):
            self.best.add(self.storage.get_trial(number))
        if outcome != "FAIL":
            insort(self._judged, number)
        self._just_ended.append(number)
        try:
            self.decisions.finish(number, outcome, values[0] if values else None)
        except RuleFailed as error:
            self.trouble = f"the pruner failed: {error}"

    def _count_saved(self, trial: FrozenTrial) -> None:
        self.epochs_saved += saved(self._max_steps, {self.lengths.of(trial.number): 1})

    def _deal_brackets(self) -> None:
        if self.questions.brackets is None:
            self.questions.brackets = self.decisions.brackets()
