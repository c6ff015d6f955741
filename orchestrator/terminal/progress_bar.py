"""A progress bar that appears only when something takes long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

PATIENCE_SECONDS = 1.0
"""Seconds before the bar appears."""


@contextmanager
def waiting(what: str, total: int, stream: TextIO) -> Iterator[Callable[[int], None]]:
    """Yields a function that takes the steps done since its last call.

    On a terminal a bar appears after ``PATIENCE_SECONDS``, and goes at the end.
    """
    if not stream.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    begun, done = time.monotonic(), 0
    with Progress(console=Console(file=stream), transient=True, disable=False) as bar:
        task = bar.add_task(what, total=total, visible=False)

        def advance(more: int) -> None:
            nonlocal done
            done += more
            bar.update(task, completed=done, visible=time.monotonic() - begun > PATIENCE_SECONDS)

        yield advance
