"""Notifications that are to be sent, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from orchestrator.model.changeset import NoteRow
from orchestrator.spec.notify import NotifyTable


class DeliveryState(NamedTuple):
    """The state of a notification: ``owed`` until it is sent, ``delivered``, ``failed`` after the last try, or
    ``superseded`` by a newer one. ``detail`` is one line about the last try, at the time ``at``."""

    state: Literal["owed", "delivered", "failed", "superseded"]
    tries: int
    detail: str
    at: float


@dataclass(frozen=True)
class PendingNotification:
    """A notification that is still to be sent, of the study of that name; ``notify`` names the recipients."""

    study: str
    note: NoteRow
    notify: NotifyTable
    tries: int = 0
