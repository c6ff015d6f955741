"""Attendance: whether a control plane looks after a study, or since when none has been seen."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, select

from orchestrator.common.errors import BadInput
from orchestrator.common.file_lock import is_locked, noted_studies
from orchestrator.common.settings import Settings, load_settings
from orchestrator.model.state_words import SUSPENDED, UNATTENDED
from orchestrator.model.study_states import ENDED, MOVES, OPTUNAS
from orchestrator.model.study_status import Absence, Overview
from orchestrator.storage.database import is_gone
from orchestrator.storage.own_tables import writer
from orchestrator.storage.sql_dialects import current_time
from orchestrator.storage.sqlite_files import path_of

_NEEDS_NONE = (*ENDED, OPTUNAS, SUSPENDED)


class _Seen(NamedTuple):
    """What is seen of a control plane.

    Attributes:
        lives: Whether it lives.
        since: Since when it does not.
        only: The studies that it looks after; ``None`` where it looks after all.
        known: Those that the last one in the data folder has looked after; ``None`` where that was all.
    """

    lives: bool
    since: float | None
    only: frozenset[str] | None
    known: frozenset[str] | None

    def attends(self, study: str) -> bool:
        return self.lives and (self.only is None or study in self.only)

    def unseen_since(self, study: str) -> float | None:
        """Returns since when none was seen that looks after the study; ``None`` where that is not known, such as after
        the run of another one."""
        return self.since if not self.lives and (self.known is None or study in self.known) else None


def with_absences(connection: Connection, overviews: Iterable[Overview]) -> list[Overview]:
    """Returns the studies, with the absence of a control plane noted at each that needs one."""
    found = list(overviews)
    seen = None if all(each.progress.state in _NEEDS_NONE for each in found) else _look(connection)
    if seen is None:
        return found
    alone = connection.dialect.name == "sqlite" and _settings().redis_url is None
    return [
        each
        if each.progress.state in _NEEDS_NONE or seen.attends(each.progress.study)
        else _absent(each, Absence(seen.unseen_since(each.progress.study), alone))
        for each in found
    ]


def is_led(connection: Connection) -> bool:
    """Returns whether a control plane is active, whatever studies it looks after."""
    seen = _look(connection)
    return seen is not None and seen.lives


def is_attended(connection: Connection, study: str, state: str) -> bool:
    """Returns whether a control plane looks after a study in that state, or it needs none."""
    seen = None if state in _NEEDS_NONE else _look(connection)
    return seen is None or seen.attends(study)


def _look(connection: Connection) -> _Seen | None:
    """Returns what is seen of a control plane; ``None`` where the database was written by a program without a lease."""
    row = connection.execute(select(writer, current_time(connection.dialect.name).label("now"))).one_or_none()
    if row is None:
        return None
    path = path_of(connection.engine.url)
    lives = bool(row.holder) and row.expires > row.now and not is_gone(row.holder)
    # One that gave the lease back did so when it ended, and versions before left no moment. Of one that was killed the
    # row has the end of its lease, which is as long as it is set here; it lived at the last renewal.
    since = min(row.expires - _settings().lease if row.holder else row.expires, row.now)
    noted = None if path is None else noted_studies(path.parent)
    only = noted if path is not None and is_locked(path.parent) else None
    return _Seen(lives, since if since > 0 else None, only, noted)


def _settings() -> Settings:
    """Returns the settings of the environment, or those of one that says nothing where they are wrong."""
    with suppress(BadInput):
        return load_settings()
    return Settings()


def _absent(overview: Overview, absence: Absence) -> Overview:
    progress = overview.progress
    if progress.state in MOVES:
        progress = msgspec.structs.replace(progress, state=UNATTENDED)
    return replace(overview, progress=progress, absence=absence)
