"""A replica of one study, on which its sampler works: fed with committed changes, asked about a place of the fold.

It runs in a process beside the loop, which may be ended at any time: a new replica is made of the study as it is then,
and gives the same answers, since a question says what part of the history it is about. ``control.journal`` uses it
directly, for recordings that hold no answers.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Container, Iterator, Sequence
from typing import Any

import msgspec
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from orchestrator.model.attribute_keys import AHEAD, MARKS
from orchestrator.sampling import questions
from orchestrator.sampling.distribution_text import from_text, to_text
from orchestrator.sampling.questions import Answer, Feed, Horizon, OpenTrial, Question, Sampled
from orchestrator.sampling.staged_storage import StagedStorage, drop_params, in_states
from orchestrator.sampling.study_copy import StudyCopy
from orchestrator.sampling.trial_sampler import SamplerFailed, TrialSampler
from orchestrator.spec import Spec


class ReplicaStorage(StagedStorage):
    """A staged storage that can show the study as it was at an earlier place of the fold."""

    def __init__(self) -> None:
        super().__init__()
        self._count: int | None = None
        # Parameters that an answer has set and that were not committed yet.
        self._unconfirmed: dict[int, set[str]] = {}
        # Trials that waited at a rung when last looked at: as they are, how far they were, and as they looked.
        self._paused: dict[int, tuple[FrozenTrial, OpenTrial, FrozenTrial]] = {}

    def load(self, study: StudyCopy) -> None:
        """Takes in a study, or its next piece."""
        with self.loading():
            for key, value in study.user_attrs.items():
                self.set_study_user_attr(0, key, value)
            for key, value in study.system_attrs.items():
                self.set_study_system_attr(0, key, value)
        for trial in study.trials:
            self.load_trial(trial)
        for number, names in study.ahead.items():
            kept = self._get_trial(number).distributions
            self._ahead[number] = {name: kept[name] for name in names}

    def apply(self, feed: Feed) -> None:
        """Takes in what was committed. Idempotent: the study that was loaded may be ahead of it."""
        with self.loading():
            for number in sorted(feed.new_trials):
                if number >= self.get_n_trials(0):
                    self._create(number, feed)
            for number, at in feed.starts.items():
                self.now = at
                if self._is_open(number) and not self.set_trial_state_values(number, TrialState.RUNNING):
                    self.start_trial(number)
            for number, name, value, distribution in feed.params:
                self._confirm(number, name, value, distribution)
            for number, step, value in feed.values:
                if self._is_open(number):
                    self.set_trial_intermediate_value(number, step, value)
            for (number, key), value in (feed.user_attrs | feed.late_user_attrs).items():
                self._set_attr("user_attrs", number, key, value)
            for (number, key), value in feed.system_attrs.items():
                if key not in MARKS:
                    self._set_attr("system_attrs", number, key, value)
            for (number, key), value in feed.records.items():
                self._set_attr("system_attrs", number, key, value, drop=value is None)
            for key, value in feed.study_user_attrs.items():
                self.set_study_user_attr(0, key, value)
            for key, value in feed.study_system_attrs.items():
                self.set_study_system_attr(0, key, value)
            for number, end in feed.ends.items():
                if self._is_open(number):
                    self._end(number, TrialState[end.state], end.values, end.at)

    def take_answer(self, question: Question) -> Answer:
        """Returns what was written since the last call, and counts its parameters as not committed yet."""
        changes, number = self.take_changes(), question.trial
        params = [Sampled(name, float(value), text) for _, name, value, text in changes.params]
        ahead = [
            Sampled(name, float(self.get_trial_param(number, name)), to_text(distribution))
            for name, distribution in self.ahead(number).items()
        ]
        if params:
            self._unconfirmed.setdefault(number, set()).update(each.name for each in params)
        return Answer(
            question.kind,
            number,
            question.name,
            params,
            ahead if question.kind == "trial" else [],
            [(trial, key, value) for (trial, key), value in changes.user_attrs.items()],
            [(trial, key, value) for (trial, key), value in changes.system_attrs.items()],
            changes.study_user_attrs,
            changes.study_system_attrs,
        )

    @contextlib.contextmanager
    def at(self, horizon: Horizon) -> Iterator[None]:
        """Inside, the study looks as it did at that place."""
        self._count = horizon.count
        self._shown = {}
        for each in horizon.open:
            if (seen := self._seen(each)) is not None:
                self._shown[each.number] = seen
        for group in horizon.paused:
            for each in group.trials():
                self._shown[each.number] = self._seen_paused(each)
        try:
            yield
        finally:
            self._count, self._shown = None, {}

    def get_trial(self, trial_id: int) -> FrozenTrial:
        shown = self._shown.get(trial_id)
        return super().get_trial(trial_id) if shown is None else shown

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        if self._count is None:
            return super().get_all_trials(study_id, deepcopy, states)
        trials = super().get_all_trials(study_id, deepcopy=False)[: self._count]
        return in_states(trials, states, deepcopy)

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        return BaseStorage.get_best_trial(self, study_id)

    def check_trial_is_updatable(self, trial_id: int, trial_state: TrialState) -> None:
        # A sampler that is asked about a trial's end finds it running, and may write to it.
        if self._count is None:
            super().check_trial_is_updatable(trial_id, trial_state)

    def _seen_paused(self, open_trial: OpenTrial) -> FrozenTrial:
        """Returns a trial that waited as it was. It is made once for as long as it waits there."""
        trial, kept = self._get_trial(open_trial.number), self._paused.get(open_trial.number)
        if kept is None or kept[0] is not trial or kept[1] != open_trial:
            kept = self._paused[open_trial.number] = trial, open_trial, self._seen(open_trial) or trial
        return kept[2]

    def _seen(self, open_trial: OpenTrial) -> FrozenTrial | None:
        """Returns a trial as it was; ``None`` where it is so still."""
        number, reports, params, paused = open_trial
        trial = self._get_trial(number)
        waits = reports == questions.WAITING
        first = trial.system_attrs.get(AHEAD, {})
        others = [name for name in trial.distributions if name not in first]
        kept = len(others) if params == questions.ALL else params
        ended = trial.state.is_finished()
        changed = ended or paused or len(trial.intermediate_values) > max(reports, 0) or kept < len(others)
        if not changed and waits == (trial.state is TrialState.WAITING):
            return None
        seen = copy.copy(trial)
        seen.intermediate_values = dict(list(trial.intermediate_values.items())[: max(reports, 0)])
        seen.state, seen.values, seen.datetime_complete = TrialState.RUNNING, None, None
        if waits:
            seen.state, seen.params, seen.distributions = TrialState.WAITING, {}, {}
            return seen
        drop_params(seen, set(others[kept:]))
        if ended and not paused:
            # What was sampled ahead is forgotten at the end if the objective did not take it.
            for name, (internal, text) in first.items():
                if name not in seen.distributions:
                    distribution = seen.distributions[name] = from_text(text)
                    seen.params[name] = distribution.to_external_repr(internal)
        if paused:
            drop_params(seen, self.ahead(number))
            seen.datetime_complete = trial.datetime_complete
            self._look_pruned(seen)
        return seen

    def _create(self, number: int, feed: Feed) -> None:
        self.now = feed.new_trials[number]
        waits = number in feed.enqueued
        self.create_new_trial(0, create_trial(state=TrialState.WAITING) if waits else None)

    def _confirm(self, number: int, name: str, value: float, distribution: str) -> None:
        self._ahead.get(number, {}).pop(name, None)
        self._unconfirmed.get(number, set()).discard(name)
        if self._is_open(number) and name not in self._get_trial(number).distributions:
            self.set_trial_param(number, name, value, from_text(distribution))

    def _end(self, number: int, state: TrialState, values: Sequence[float] | None, at: float) -> None:
        unconfirmed = self._unconfirmed.pop(number, None)
        if unconfirmed:
            # The trial ended before the answer came, which was not taken in.
            self._ahead.setdefault(number, {}).update(
                {name: self._get_trial(number).distributions[name] for name in unconfirmed}
            )
        self.now = at
        self.set_trial_state_values(number, state, None if values is None else list(values))

    def _set_attr(self, field: str, number: int, key: str, value: Any, *, drop: bool = False) -> None:
        trial = copy.copy(self._get_trial(number))
        kept = dict(getattr(trial, field))
        if drop:
            kept.pop(key, None)
        else:
            kept[key] = value
        setattr(trial, field, kept)
        self._set_trial(number, trial)

    def _is_open(self, number: int) -> bool:
        return not self._get_trial(number).state.is_finished()


class Replica:
    """One study's sampler, on a copy of the study.

    Args:
        spec: The search.
        seed: Where all randomness comes from.

    Raises:
        BadInput: a class of the user's own cannot be imported, or does not take these arguments.
    """

    def __init__(self, spec: Spec, seed: int) -> None:
        self._storage = ReplicaStorage()
        self._storage.create_study(spec.name, spec.objectives)
        self._sampler = TrialSampler(spec.model_copy(update={"seed": seed}), seed, self._storage)

    def load(self, study: StudyCopy) -> None:
        """Takes in a study, or its next piece; before anything else."""
        self._storage.load(study)

    def apply(self, feed: Feed) -> None:
        """Takes in what was committed."""
        self._storage.apply(feed)
        for number in feed.ends:
            self._sampler.forget(number)

    def answer(self, question: Question) -> Answer:
        """Returns what the sampler says, and how it failed where it did."""
        storage, number = self._storage, question.trial
        if question.kind != "end" and storage.get_trial(number).state.is_finished():
            return Answer(question.kind, number, question.name)
        error = ""
        with storage.at(question.horizon):
            self._sampler.deal_brackets(question.horizon.brackets)
            try:
                match question.kind:
                    case "trial":
                        self._sampler.ask(number)
                    case "parameter":
                        self._sampler.suggest(number, question.name, question.distribution)
                    case "end":
                        self._sampler.finish(number, TrialState[question.state], question.values)
            except SamplerFailed as failed:
                error = str(failed)
        return msgspec.structs.replace(storage.take_answer(question), stopped=self._sampler.stopped, error=error)
