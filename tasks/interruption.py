"""SIGINT in a training process, told from an objective that raises ``KeyboardInterrupt`` by itself."""

from __future__ import annotations

from types import FrameType


class Interrupted(KeyboardInterrupt):
    """SIGINT came from outside."""


def interrupt(signum: int, frame: FrameType | None) -> None:
    """Handles the signal as Python does, by an exception in the main thread."""
    del signum, frame
    raise Interrupted
