"""User commands, applied to a study that runs or has ended, and the adoption of what other programs did to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.engine.state import Study
from orchestrator.model.lifecycle import WAITING, AttemptState
from orchestrator.model.study_states import ENDED, HELD, StudyState
from orchestrator.spec import Spec


def steer(study: Study, state: StudyState, reason: str, at: float) -> None:
    """Pauses, resumes or stops the study; one that has ended stays as it is."""
    if state == "stopped":
        study.end(state, reason or "stopped by a person", at)
    elif study.state not in ENDED:
        study.set_state(state, "", at)


def interrupt(study: Study, at: float) -> None:
    """Holds a study whose ``run`` ends; one that a person has paused stays so."""
    if study.state not in ENDED and study.state != "paused":
        study.set_state("interrupted", "", at)


def change_spec(study: Study, spec: Spec, at: float) -> None:
    """Takes over what may change in a study that goes on: its budget, its queue, how it is trained."""
    study.spec = spec
    study.artifacts.unsettle()
    study.trials.expect_configurations(study.budget)
    more = study.budget > study.trials.taken or bool(study.trials.enqueued)
    if study.state in HELD or (more and study.state != "running"):
        _reopen(study, at)
    study.trials.tell_again()


def enqueue(study: Study, params: Mapping[str, Any], at: float) -> None:
    """Adds a trial with these parameters to the budget; it is the next one that is asked for. A study that was
    finished goes on for it, one that was stopped or has failed keeps it until it goes on."""
    study.trials.enqueue(params, extra=True)
    _make_room(study, at)


def retry(study: Study, number: int, at: float) -> None:
    """Adds a trial with the parameters of one that has ended, as ``enqueue`` does."""
    study.trials.retry(number)
    _make_room(study, at)


def adopt(study: Study, at: float) -> None:
    """Makes trials and attempts agree: a trial that runs without an attempt was asked for elsewhere and is given one,
    an attempt whose trial has ended was overtaken by another program's verdict and has to stop."""
    for row in study.attempts.in_state(*WAITING, AttemptState.RUNNING, AttemptState.PAUSED):
        if not study.trials.is_open(row.trial):
            study.stop_attempt(row, "ended elsewhere", None, at)
            if not row.runner or row.state == AttemptState.PAUSED:
                study.end_attempt(row, "ended elsewhere", at)
    known = {row.trial for row in study.attempts}
    unattended = [number for number in study.trials.running() if study.attempts.live(number) is None]
    for number in unattended:
        study.attempts.create(number, at)
    if strange := [number for number in unattended if number not in known]:
        study.trials.tell_taken_up(strange)


def _make_room(study: Study, at: float) -> None:
    study.trials.expect_configurations(study.budget)
    if study.state == "finished":
        _reopen(study, at)


def _reopen(study: Study, at: float) -> None:
    """Sets the study running; after an end, other programs may have done anything to its trials meanwhile."""
    ended = study.state in ENDED
    study.set_state("running", "", at)
    if ended:
        adopt(study, at)
