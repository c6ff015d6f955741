"""The best trials of a study, with their parameters and models."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.queries.leading import last_report, leader
from orchestrator.queries.stored_models import StoredModel
from tasks.program.command import CODE_DIR, STUDY, TRIAL, fill

if TYPE_CHECKING:
    from orchestrator.model.records import ListedTrial
    from orchestrator.queries.study_reader import StudyReader
    from orchestrator.spec import Spec


@dataclass(frozen=True)
class BestTrial:
    """A trial that no other one beats.

    Attributes:
        values: One for each objective; of a trial that only leads so far, its last report.
        step: The step of that report; ``None`` for a trial that has completed.
        params: By name, in the order in which the trial got them; only those that it was asked for.
        models: Those in the artifact store, the newest last.
        command: The command line of the study's program with these parameters, quoted for a shell; empty where the
            study runs no program, or the program is given files that only a worker makes.
    """

    study: str
    number: int
    values: tuple[float, ...]
    directions: tuple[str, ...]
    params: Mapping[str, Any]
    user_attrs: Mapping[str, Any]
    step: int | None = None
    models: tuple[StoredModel, ...] = ()
    command: str = ""


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
    spec = reader.spec(study) if reader.is_ours(study) else None
    numbers = listing.best()
    found = list(listing.trials([heads[number] for number in numbers]))
    leads = not found
    if leads:
        found = leader(listing, promotes=reader.promotes(study))
    return [
        BestTrial(
            study,
            each.head.number,
            each.head.values if not leads else (last_report(each),),
            listing.directions,
            each.params,
            each.user_attrs,
            step=each.last_step if leads else None,
            models=tuple(model for model in models if model.trial == each.head.number),
            command=_command_line(spec, each),
        )
        for each in found
    ]


def _command_line(spec: Spec | None, trial: ListedTrial) -> str:
    if spec is None or spec.command is None:
        return ""
    # The files that went with it are here where the spec is.
    values = {CODE_DIR: ".", **trial.params, STUDY: spec.name, TRIAL: trial.head.number}
    with contextlib.suppress(KeyError):
        return shlex.join(fill(word, values) for word in spec.command.run)
    return ""
