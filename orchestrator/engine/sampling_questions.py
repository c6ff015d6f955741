"""The engine's end of the sampler: what it asks, what it waits for, and what it takes in from an answer.

A sampler never runs here; see ``OpenQuestions``.
"""

from __future__ import annotations

import copy
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from orchestrator.engine.open_questions import OpenQuestions
from orchestrator.model.attribute_keys import AHEAD, MARKS
from orchestrator.sampling.distribution_text import from_text, to_text
from orchestrator.sampling.pruner_replica import own_classes
from orchestrator.sampling.questions import Answer, Horizon, Key, Question, Sampled
from orchestrator.sampling.staged_storage import StagedStorage
from orchestrator.sampling.study_copy import StudyCopy
from orchestrator.sampling.trial_sampler import SamplerFailed
from orchestrator.spec import Spec
from orchestrator.spec.exhaustive_samplers import cells_taken, leaves_nothing
from orchestrator.spec.sampler_factory import grid
from tasks.contract import Parameter

_EXHAUSTIVE = ("grid", "brute_force")


class SamplingQuestions:
    """Asks for trials and parameters, and writes the answers to the storage.

    Args:
        spec: The search.
        storage: The study.
        questions: Takes what is asked.
    """

    def __init__(self, spec: Spec, storage: StagedStorage, questions: OpenQuestions) -> None:
        self._name = spec.sampler.name
        self._storage = storage
        self._questions = questions
        self._own_class = ":" in self._name
        self._asked_rules = own_classes(spec)
        self._space = tuple(spec.space)
        # Without them a draw of random parameters depends on nothing that other trials did.
        self._looks_back = self._name != "random" or not spec.space
        self._grid: dict[str, list[Any]] = grid(spec) if self._name == "grid" else {}
        self._stopped = False

    # -- what is asked

    @property
    def one_at_a_time(self) -> bool:
        """Whether the next trial may only be asked for when everything is answered: what is left to try, or whether the
        sampler has ended the study, is not known before."""
        return self._own_class or self._name in _EXHAUSTIVE

    def awaits(self, number: int) -> bool:
        """Whether a trial was asked for and the sampler has not answered yet."""
        return self._questions.awaits("trial", number)

    @property
    def awaits_end(self) -> bool:
        """Whether a sampler of the user's own has still to be heard about a trial that has ended: only then is known
        whether it satisfies its constraints."""
        return self._questions.awaits_kind("end")

    def awaits_end_of(self, number: int) -> bool:
        """Whether that is so of this trial."""
        return self._questions.awaits("end", number)

    @property
    def awaits_any(self) -> bool:
        """Whether the sampler has still to answer anything."""
        return self._questions.awaits_kind("trial", "parameter", "end")

    def is_exhausted(self) -> bool:
        """Whether nothing is left to try: what can be counted is, a sampler of the user's has to say so."""
        if self._name == "grid":
            return cells_taken(self._storage.get_all_trials(0, deepcopy=False), self._grid)
        if self._name == "brute_force":
            return leaves_nothing(self._storage.get_all_trials(0, deepcopy=False))
        return self._stopped

    def ask(self, waiting: int | None = None, *, sampled: bool = False) -> int:
        """Creates the next trial, or takes the one that is ``waiting``, and asks for its parameters, unless it was
        ``sampled`` before; returns its number."""
        if waiting is None:
            number = self._storage.create_new_trial(0)
        else:
            number = waiting
            self._storage.set_trial_state_values(number, TrialState.RUNNING)
            self._questions.waiting.discard(number)
        place = self._place()
        self._questions.open.add(number)
        if not sampled:
            self._questions.next_turn()
            self._questions.mark(Question("trial", number, place))
        return number

    def suggest(self, number: int, name: str, distribution_json: str) -> float | None:
        """Returns the internal value of a parameter for a trial that runs: the stored one, or the one sampled ahead if
        the distribution is the same. ``None`` where the sampler is asked for it.

        Raises:
            SamplerFailed: the distribution does not fit what was stored.
        """
        try:
            distribution = from_text(distribution_json)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise SamplerFailed(f"parameter '{name}': unreadable distribution: {error}") from None
        if name in self._storage.ahead(number):
            if self._storage.ahead(number)[name] == distribution:
                return self._storage.use_ahead(number, name)
            self._storage.drop_ahead(number, [name])
        stored = self._storage.get_trial(number).distributions.get(name)
        if stored is None:
            if not self._questions.is_pending(Key("parameter", number, name)):
                text = to_text(distribution)
                self._questions.put(Question("parameter", number, self._place(), name, text))
            return None
        _check_compatible(stored, distribution)
        return self._storage.get_trial_param(number, name)

    def finish(self, number: int, state: TrialState, values: list[float] | None) -> None:
        """Ends a trial in the storage; a sampler of the user's own is told so, and may write what it likes then."""
        if self._own_class:
            self._questions.mark(Question("end", number, self._place(), state=state.name, values=values))
        self._questions.close(number)
        self._storage.drop_ahead(number)
        self._storage.set_trial_state_values(number, state, values)

    def put_back(self, number: int) -> None:
        """Lets a trial wait that was asked for and never began; what was sampled for it stays."""
        self._questions.close(number)
        self._storage.set_trial_state_values(number, TrialState.WAITING)
        self._questions.waiting.add(number)

    def note_waiting(self, number: int) -> None:
        """Notes that a trial was enqueued."""
        self._questions.waiting.add(number)

    def copy(self) -> StudyCopy:
        """Returns the study for a new replica, as it is now."""
        return StudyCopy(
            [_settled(trial) for trial in self._storage.stored_trials()],
            {
                number: tuple(names)
                for number in self._questions.begun() | self._questions.waiting
                if (names := self._storage.ahead(number))
            },
            self._storage.get_study_user_attrs(0),
            self._storage.get_study_system_attrs(0),
        )

    # -- what is answered

    def take_answer(self, answer: Answer) -> None:
        """Writes an awaited answer to the storage, unless it is a parameter of a trial that has ended meanwhile."""
        storage, number = self._storage, answer.trial
        if answer.kind != "report":
            self._stopped = answer.stopped
        if answer.kind in ("trial", "parameter") and storage.has_ended(number):
            return
        # In the order of [space], where samplers have an order of their own.
        place = {name: index for index, name in enumerate(self._space)}
        for each in sorted(answer.params, key=lambda each: place.get(each.name, len(place))):
            self._set(number, each)
        with storage.sampling_ahead():
            for each in answer.ahead:
                self._set(number, each)
        for trial, key, value in answer.user_attrs:
            storage.set_late_user_attr(trial, key, value)
        for trial, key, value in answer.system_attrs:
            storage.set_late_system_attr(trial, key, value)
        for key, value in answer.study_user_attrs.items():
            storage.set_study_user_attr(0, key, value)
        for key, value in answer.study_system_attrs.items():
            storage.set_study_system_attr(0, key, value)

    def restore(self, trial: FrozenTrial) -> None:
        """Takes in a trial that was just put into the storage: what was sampled ahead, what is unanswered."""
        number = trial.number
        if not trial.state.is_finished():
            for name, (internal, text) in trial.system_attrs.get(AHEAD, {}).items():
                if name not in trial.distributions:
                    with self._storage.sampling_ahead():
                        self._set(number, Sampled(name, internal, text))
        self._questions.restore(trial, hears_ends=self._own_class, asked=self._asked_rules)

    # -- parameters of a job

    def params(self, number: int) -> dict[str, Parameter]:
        """Returns the parameters that are the trial's own."""
        return self._parameters(number, ahead=False)

    def ahead(self, number: int) -> dict[str, Parameter]:
        """Returns the parameters that were sampled ahead for it."""
        return self._parameters(number, ahead=True)

    def _parameters(self, number: int, *, ahead: bool) -> dict[str, Parameter]:
        waiting = self._storage.ahead(number)
        return {
            name: Parameter(
                value=self._storage.get_trial_param(number, name),
                distribution=to_text(distribution),
            )
            for name, distribution in self._storage.get_trial(number).distributions.items()
            if (name in waiting) is ahead
        }

    def _set(self, number: int, sampled: Sampled) -> None:
        self._storage.set_trial_param(number, sampled.name, sampled.value, from_text(sampled.distribution))

    def _place(self) -> Horizon:
        """Returns the place of the fold at which the study is now."""
        return self._questions.place(looks_back=self._looks_back)


def _check_compatible(stored: BaseDistribution, asked: BaseDistribution) -> None:
    try:
        optuna.distributions.check_distribution_compatibility(stored, asked)
    except ValueError as error:
        raise SamplerFailed(f"ValueError: {' '.join(str(error).split())}") from None


def _settled(trial: FrozenTrial) -> FrozenTrial:
    """Returns a trial as it is, without what it is asked: itself where it does not change any more."""
    if trial.state.is_finished() and MARKS.isdisjoint(trial.system_attrs):
        return trial
    trial = copy.copy(trial)
    trial.intermediate_values = dict(trial.intermediate_values)
    trial.system_attrs = {key: value for key, value in trial.system_attrs.items() if key not in MARKS}
    return trial
