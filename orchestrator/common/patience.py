"""How a request to a server is made: once, or again while the server is away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

AWAY_SECONDS = 0.5
"""Pause between two tries."""

FIRST_TRIES = 3
"""Tries of a server that was never reached, before its URL counts as wrong."""

Result = TypeVar("Result")


class Patient(Protocol):
    """Calls a function that asks a server, and may retry it; returns its result."""

    def __call__(self, ask: Callable[[], Result], /) -> Result: ...


def at_once(ask: Callable[[], Result]) -> Result:
    """Calls once, without a retry."""
    return ask()
