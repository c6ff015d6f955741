"""Commands from people and schedules to the control plane."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

ADDING: Final = ("enqueue", "retry")
"""Operations that make a trial."""

HOST: Final = "host"
"""The command by which a `run` hands its study to the one that works in the same folder: its spec, and the process id
of that run, so that no later one takes it up."""

DELETE: Final = "delete"
"""The command that deletes a study; its payload names the study's unique id, so that it hits no later study of that
name."""


@dataclass(frozen=True)
class Command:
    """A command that the control plane has not applied yet."""

    id: int
    key: str
    operation: str
    study: str
    payload: dict[str, Any] = field(hash=False, compare=False)
    unreadable: str = ""
    """Why its payload cannot be read; then that is empty."""
    created: float = field(default=0.0, compare=False)
    """When it was issued, in seconds since the epoch by its issuer's clock; 0 where that is not known."""
