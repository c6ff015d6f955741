"""Counts what a study holds, before it is deleted."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from orchestrator.model.attribute_keys import KEPT
from orchestrator.model.lifecycle import LIVE
from orchestrator.storage import own_tables
from orchestrator.storage.optuna_tables import SYSTEM_ATTRS, TRIALS
from orchestrator.storage.study_deletion import read_keys


@dataclass(frozen=True)
class StudyContents:
    """What a study holds.

    Attributes:
        uid: Its unique id; empty where only Optuna has run it.
        state: As ``status`` shows it.
        trials: How many there are; ``running`` of them are RUNNING to Optuna.
        live: Attempts that have not ended.
        files: Models and other files in the artifact store.
        checkpoints: In the checkpoint store.
        hosts: Where its attempts ran.
    """

    name: str
    uid: str
    state: str
    trials: int
    running: int
    live: int = 0
    files: int = 0
    checkpoints: int = 0
    hosts: tuple[str, ...] = ()


def read_contents(connection: Connection, name: str, study_id: int, state: str, ours: bool) -> StudyContents:
    """Returns what a study holds; ``ours`` is whether the database has this program's tables."""
    of_study = TRIALS.c.study_id == study_id
    states = select(TRIALS.c.state, func.count()).where(of_study).group_by(TRIALS.c.state)
    counted: dict[str, int] = dict(map(tuple, connection.execute(states)))
    keys = read_keys(connection, name) if ours else None
    if keys is None:
        return StudyContents(name, "", state, sum(counted.values()), counted.get("RUNNING", 0))
    attempts, checkpoints = own_tables.attempts.c, own_tables.checkpoints.c
    live = select(func.count()).where(attempts.study_id == study_id, attempts.state.in_(sorted(LIVE)))
    kept = select(func.count()).join(TRIALS, TRIALS.c.trial_id == SYSTEM_ATTRS.c.trial_id)
    hosts = select(attempts.host).distinct().where(attempts.study_id == study_id, attempts.host != "")
    return StudyContents(
        name,
        keys.uid,
        state,
        trials=sum(counted.values()),
        running=counted.get("RUNNING", 0),
        live=connection.scalar(live) or 0,
        files=connection.scalar(kept.select_from(SYSTEM_ATTRS).where(of_study, SYSTEM_ATTRS.c.key.like(f"{KEPT}%")))
        or 0,
        checkpoints=connection.scalar(select(func.count()).where(checkpoints.study_id == study_id)) or 0,
        hosts=tuple(sorted(connection.scalars(hosts))),
    )
