"""A bar for what takes long, and nothing for what does not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

PATIENCE = 1.0
"""Seconds without any sign of life that nobody minds."""


@contextmanager
def waiting(what: str, total: int, stream: TextIO) -> Iterator[Callable[[int], None]]:
    """Yields what is to be told of progress. A bar appears on a terminal after ``PATIENCE``, and goes at the end."""
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
            bar.update(task, completed=done, visible=time.monotonic() - begun > PATIENCE)

        yield advance
