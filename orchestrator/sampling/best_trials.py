"""The best trial of a study or, with several objectives, its Pareto front, as Optuna's own code names them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from orchestrator.model.progress_events import Best, Optimum
from orchestrator.model.ranking import ranked
from orchestrator.sampling.staged_storage import StagedStorage
from tasks.constraints import constraints_of


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
