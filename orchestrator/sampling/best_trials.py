"""The best trial of a study or, with several objectives, its Pareto front, as Optuna's own code names them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from orchestrator.model.progress_events import Best, Optimum
from orchestrator.model.ranking import ranked
from orchestrator.sampling.staged_storage import StagedStorage
from tasks.constraints import KEY, PREFIX, constraints_of, is_feasible


class BestTrials:
    """The best completed trial of a study, or the size of its Pareto front, kept up to date trial by trial.

    Equal to ``best_of`` and ``front_of``, which read the whole study. They are asked where a trial has a constraint
    or a value that is NaN or no number: there the result depends on the order in which Optuna compares.

    Args:
        study: The study, for those cases.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._signs = [-1.0 if each is optuna.study.StudyDirection.MAXIMIZE else 1.0 for each in study.directions]
        self._best: FrozenTrial | None = None
        self._front: list[tuple[float, ...]] = []
        self._odd = False
        self._read: tuple[Best | None, int | None] | None = None

    def add(self, trial: FrozenTrial) -> None:
        """Takes in a trial that has completed; in any order."""
        self._read = None
        values = trial.values or ()
        if len(values) != len(self._signs) or _is_odd(trial):
            self._odd = True
        elif is_feasible(constraints_of(trial.system_attrs).values()):
            scores = tuple(sign * value for sign, value in zip(self._signs, values, strict=True))
            if len(scores) > 1:
                self._add_to_front(scores)
            elif self._best is None or (scores[0], trial.number) < (
                self._signs[0] * self._best.values[0],
                self._best.number,
            ):
                self._best = trial

    def read(self) -> tuple[Best | None, int | None]:
        """Returns the best trial, and the size of the Pareto front where there are several objectives."""
        if self._read is None:
            self._read = self._found()
        return self._read

    def _found(self) -> tuple[Best | None, int | None]:
        if self._odd:
            front = front_of(self._study)
            return best_of(self._study), None if front is None else len(front)
        if len(self._signs) > 1:
            return None, len(self._front)
        best = self._best
        return None if best is None else Best(number=best.number, value=best.values[0], params=best.params), None

    def _add_to_front(self, scores: tuple[float, ...]) -> None:
        if not any(_dominates(other, scores) for other in self._front):
            self._front = [other for other in self._front if not _dominates(scores, other)]
            self._front.append(scores)


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def _is_odd(trial: FrozenTrial) -> bool:
    listed = trial.system_attrs.get(KEY, [])
    found = list(listed) if isinstance(listed, list | tuple) else [None]
    found += [value for key, value in trial.system_attrs.items() if key.startswith(PREFIX)]
    return not all(isinstance(value, int | float) and value == value for value in (*trial.values, *found))


def best_of(study: optuna.Study) -> Best | None:
    """Returns the best completed trial that satisfies its constraints; ``None`` where there is none, or no one best."""
    if len(study.directions) > 1:
        return None
    try:
        trial = study.best_trial
    except (ValueError, TypeError):
        # Another program may have written what Optuna cannot read as constraints; it names no best trial then.
        return None
    return None if trial.value is None else Best(number=trial.number, value=trial.value, params=trial.params)


def front_of(study: optuna.Study) -> tuple[Optimum, ...] | None:
    """Returns the Pareto front by first value, best first; ``None`` where there is one objective."""
    if len(study.directions) < 2:
        return None
    sign = -1.0 if study.directions[0] is optuna.study.StudyDirection.MAXIMIZE else 1.0
    trials = sorted(study.best_trials, key=lambda trial: (sign * trial.values[0], trial.number))
    return tuple(Optimum(number=each.number, values=tuple(each.values), params=each.params) for each in trials)


def rank(trials: Iterable[FrozenTrial], *, maximize: bool) -> tuple[list[FrozenTrial], list[FrozenTrial]]:
    """Returns those that completed and satisfy their constraints, the best one first, and then those that do not.

    Of several objectives the first one counts.
    """
    complete = {trial.number: trial for trial in trials if trial.state is TrialState.COMPLETE and trial.values}
    values = {number: trial.values[0] for number, trial in complete.items()}
    constraints = {number: constraints_of(trial.system_attrs).values() for number, trial in complete.items()}
    good, others = ranked(values, constraints, maximize=maximize)
    return [complete[number] for number in good], [complete[number] for number in others]


def in_memory(trials: Iterable[FrozenTrial], directions: Sequence[str]) -> optuna.Study:
    """Returns a study that holds these trials, sorted by number, and nothing else."""
    storage = StagedStorage()
    with storage.loading():
        storage.create_study("study", directions)
        for trial in trials:
            storage.create_new_trial(0, trial)
    return optuna.study.Study("study", storage, optuna.samplers.RandomSampler(), optuna.pruners.NopPruner())
