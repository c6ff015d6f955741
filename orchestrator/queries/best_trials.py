"""The best trials of a study, with their parameters and models."""

from __future__ import annotations

import contextlib
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.queries.stored_models import StoredModel
from tasks.program.command import CODE_DIR, STUDY, TRIAL, fill

if TYPE_CHECKING:
    from orchestrator.model.records import ListedTrial
    from orchestrator.queries.study_reader import StudyReader


@dataclass(frozen=True)
class BestTrial:
    """A trial that no other one beats.

    Attributes:
        values: One for each objective; of a trial that only leads so far, its last report.
        step: The step of that report; ``None`` for a trial that has completed.
        params: By name, in the order in which the trial got them; only those that it was asked for.
        models: Those in the artifact store, the newest last.
    """

    study: str
    number: int
    values: tuple[float, ...]
    directions: tuple[str, ...]
    params: Mapping[str, Any]
    user_attrs: Mapping[str, Any]
    step: int | None = None
    models: tuple[StoredModel, ...] = ()


def read_best_trials(reader: StudyReader, study: str) -> list[BestTrial]:
    """Returns the best completed trial of a study that satisfies its constraints, or of several objectives the Pareto
    front by first value. While none has completed, the one that leads by what it has reported; with promotion the
    higher rung counts before the value. Empty where none has reported either.

    Raises:
        BadInput: there is no such study.
    """
    listing = reader.trials(study)
    heads = {head.number: head for head in listing.heads()}
    models = reader.models(study)
    numbers = listing.best()
    found = list(listing.trials([heads[number] for number in numbers]))
    leads = not found
    if leads:
        found = read_leader(reader, study)
    return [
        BestTrial(
            study,
            each.head.number,
            each.head.values if not leads else (_last(each),),
            listing.directions,
            each.params,
            each.user_attrs,
            step=each.last_step if leads else None,
            models=tuple(model for model in models if model.trial == each.head.number),
        )
        for each in found
    ]


def read_leader(reader: StudyReader, study: str) -> list[ListedTrial]:
    """Returns the trial that leads by what it has reported; none of several objectives, and where none has reported."""
    listing = reader.trials(study)
    if len(listing.directions) > 1:
        return []
    reported = [head for head in listing.heads() if head.epochs and head.state != "FAIL" and head.feasible]
    return _leading(list(listing.trials(reported)), listing.directions[0], reader.promotes(study))


def program_line(reader: StudyReader, trials: Sequence[BestTrial]) -> str:
    """Returns the command line of the study's program with the parameters of the first of these trials, quoted for a
    shell; empty where the study runs no program, or the program is given files that only a worker makes."""
    spec = reader.spec(trials[0].study) if reader.is_ours(trials[0].study) else None
    if spec is None or spec.command is None:
        return ""
    # The files that went with it are here where the spec is.
    values = {CODE_DIR: ".", **trials[0].params, STUDY: trials[0].study, TRIAL: trials[0].number}
    with contextlib.suppress(KeyError):
        return shlex.join(fill(word, values) for word in spec.command.run)
    return ""


def _leading(trials: list[ListedTrial], direction: str, promotes: bool) -> list[ListedTrial]:
    sign = -1.0 if direction == "maximize" else 1.0
    there = [each for each in trials if not math.isnan(_last(each))]
    going_on = [each for each in there if each.head.state == "RUNNING"] or there
    by_rung = [(-(each.last_step or 0) if promotes else 0, sign * _last(each), each.head.number) for each in going_on]
    return [going_on[min(range(len(going_on)), key=by_rung.__getitem__)]] if going_on else []


def _last(trial: ListedTrial) -> float:
    return math.nan if trial.last_value is None else trial.last_value
