"""Finds the study and the trial that a person names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, func, select

from orchestrator.common.advice import how_to
from orchestrator.common.errors import BadInput, did_you_mean
from orchestrator.common.formatting import listed
from orchestrator.storage.optuna_tables import STUDIES, TRIALS, study_id_of

if TYPE_CHECKING:
    from orchestrator.model.records import StudyFacts

BEST: Final = "best"
LAST: Final = "last"
_MOST_NAMES = 10


def unknown_study(connection: Connection, name: str) -> BadInput:
    """Returns the error about a study that is not there; it names the nearest one."""
    names = list(connection.scalars(select(STUDIES.c.study_name)))
    return BadInput(f"study '{name:.200}'", "there is none of that name in this database", _other_names(name, names))


def find_study(connection: Connection, name: str) -> int:
    """Returns Optuna's id of a study.

    Raises:
        BadInput: there is no such study; names the nearest one.
    """
    study_id = study_id_of(connection, name)
    if study_id is None:
        raise unknown_study(connection, name)
    return study_id


def find_number(
    connection: Connection, study_id: int, study: StudyFacts, text: str, best: Callable[[], Sequence[int]]
) -> int:
    """Returns the number of the trial that ``text`` names: a number, ``best``, or ``last`` for the newest one.

    Args:
        connection: A transaction.
        study_id: Optuna's id of the study.
        study: The study.
        text: What a person has given.
        best: Returns the number of the best trial, or of the one that leads, or those on the Pareto front.

    Raises:
        BadInput: it names no trial of the study, or several.
    """
    of_study = TRIALS.c.study_id == study_id
    if text == LAST and study.trials:
        return int(connection.scalar(select(func.max(TRIALS.c.number)).where(of_study)) or 0)
    if text == BEST and study.trials:
        return _the_best(study, best())
    there = f"study '{study.name}' has {study.trials} trials, 0 to {study.trials - 1}"
    if study.trials < 2:
        there = f"study '{study.name}' has " + ("one trial, 0" if study.trials else "no trials yet")
    if not (text.isascii() and text.isdigit()) and text not in (BEST, LAST):
        raise BadInput(f"trial '{text}'", "is not a number", f"{there}; 'best' and 'last' name trials, too")
    number = int(text) if text.isdigit() and len(text) < 10 else -1
    if connection.scalar(select(TRIALS.c.trial_id).where(of_study, TRIALS.c.number == number)) is None:
        raise BadInput(f"trial {text}", "there is no such trial", there)
    return number


def _the_best(study: StudyFacts, numbers: Sequence[int]) -> int:
    if len(numbers) == 1:
        return numbers[0]
    where = "trial 'best'"
    if numbers:
        front = listed(numbers)
        raise BadInput(
            where, f"study '{study.name}' has several objectives, and so several best trials", f"name {front}"
        )
    remedy = f"'{how_to('trials', study.name)}' shows those that there are"
    raise BadInput(
        where, f"no trial of study '{study.name}' has completed and satisfies its constraints, nor leads", remedy
    )


def _other_names(name: str, names: Sequence[str]) -> str:
    if not names:
        return "it holds no studies yet"
    remedy = did_you_mean(name, names)
    return remedy if remedy.startswith("did") or len(names) <= _MOST_NAMES else f"it holds {len(names)} others"
