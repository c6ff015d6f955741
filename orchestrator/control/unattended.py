"""Pauses, interrupts or stops a study that no control plane looks after, as after a kill or an interruption."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Final

from orchestrator.common.data_folder import redis_url_of, storage_url_of
from orchestrator.common.settings import Settings
from orchestrator.control.liveness import dead_here
from orchestrator.control.ports import StudyRepository
from orchestrator.control.writer import by_the_writer
from orchestrator.engine.inputs import AttemptLost, SamplerAnswered, StudyStopped
from orchestrator.engine.state import Snapshot
from orchestrator.engine.study import StudyEngine
from orchestrator.messaging.command_client import CommandClient
from orchestrator.model.changeset import Changes
from orchestrator.model.lifecycle import AttemptState
from orchestrator.model.study_states import ENDED, MOVES, StudyState
from orchestrator.model.suspension import refusal
from orchestrator.storage.database import Database
from orchestrator.storage.lease import WriterLease
from orchestrator.storage.store import Store
from tasks.app import connect

_HELD_AS: Final[dict[str, StudyState]] = {"pause": "paused", "interrupt": "interrupted"}

OPERATIONS: Final = frozenset({*_HELD_AS, "stop"})
"""What can be done with a study that no control plane looks after."""


def steer_unattended(
    settings: Settings, study: str, operation: str, seconds: float, check: Callable[[], None] = lambda: None
) -> str:
    """Steers a study that no control plane looks after; returns its state.

    The control plane that writes to its database does it, such as that of a `run` of another study. Where there is
    none, this process takes the writer's lease for it.

    Args:
        settings: Where database and Redis are.
        study: Name of the study.
        operation: One of ``OPERATIONS``.
        seconds: How long an active control plane may take.
        check: Called while that is waited for; what it raises ends the wait.

    Raises:
        BadInput: there is no such study, or it is suspended and is not to be stopped.
        NoAnswer: an active control plane has not answered; the command is withdrawn.
    """

    def as_writer(lease: WriterLease) -> str:
        with closing(Store(database, lease)) as store:
            return steer_stored(store, study, operation, time.time())

    def ask(asked: CommandClient, look: Callable[[], None]) -> str:
        def check_all() -> None:
            check()
            look()

        return asked.steer_now(operation, study, check_all, seconds)

    url = redis_url_of(settings)
    with closing(Database(storage_url_of(settings))) as database, ExitStack() as stack:
        client = stack.enter_context(closing(connect(url))) if url else None
        return by_the_writer(settings, database, client, ask, as_writer)


def steer_stored(store: StudyRepository, study: str, operation: str, at: float) -> str:
    """Steers a study as it is stored; returns its state. Arguments and errors as of ``steer_unattended``."""
    snapshot = store.load(study)
    if snapshot.state in ENDED:
        return snapshot.state
    suspension = store.suspended().get(study)
    if operation == "stop":
        changes, state = _stopped(snapshot, at)
    elif suspension is not None:
        raise refusal(study, suspension.cause)
    else:
        changes, state = Changes(), _HELD_AS[operation]
        if (snapshot.state, state) == ("paused", "interrupted"):
            return snapshot.state  # a person has paused it
        changes.set_study_state(state, "", at)
    store.commit({study: changes})
    if suspension is not None:
        store.release(study)
    return state


def _stopped(snapshot: Snapshot, at: float) -> tuple[Changes, str]:
    """Stops the study. Of its runners, those of this host have ended with the control plane that is gone."""
    if snapshot.state in MOVES:
        # An engine of a study that moves would ask for trials first.
        snapshot.state = "paused"
    engine = StudyEngine(snapshot, at)
    engine.apply(StudyStopped(), at)
    for question in engine.trials.questions.unanswered():
        # A trial waits again once its question is answered, and no process answers it now.
        engine.apply(SamplerAnswered(question.without_answer()), at)
    for row in engine.attempts.in_state(AttemptState.RUNNING, AttemptState.STOPPING):
        if dead_here(row):
            engine.apply(AttemptLost(row.token, "its process is gone"), at)
    return engine.take().changes, engine.state
