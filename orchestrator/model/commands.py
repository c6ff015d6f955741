"""A command of a person or a schedule to the control plane."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Command:
    """What somebody wants of the control plane, and nobody has applied yet."""

    id: int
    key: str
    operation: str
    study: str
    payload: dict[str, Any] = field(hash=False, compare=False)
    unreadable: str = ""
    """Why its payload cannot be read; then that is empty."""
