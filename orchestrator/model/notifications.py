"""Notifications that are to be sent, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from orchestrator.model.changeset import NoteRow
from orchestrator.spec.notify import NotifyTable


class DeliveryState(NamedTuple):
    """What has become of a note: ``owed`` while it is still to be told, ``delivered``, ``failed`` when that was given
    up, or ``superseded`` where a newer one says more. ``detail`` is one line about the last try, at the time ``at``."""

    state: Literal["owed", "delivered", "failed", "superseded"]
    tries: int
    detail: str
    at: float


@dataclass(frozen=True)
class PendingNotification:
    """A note that somebody is to be told, of the study of that name; ``notify`` says whom."""

    study: str
    note: NoteRow
    notify: NotifyTable
    tries: int = 0
