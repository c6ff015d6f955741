"""The events of a study, for a loop and for an async loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.model.progress_events import Notice


class _Left(Exception):
    """The loop over the events was left."""


class Events:
    """What happens to a study, until it has ended: ``for event in events`` or ``async for event in events``.

    Each loop begins with where the study stands at that moment. An event is a ``Progress``, or says that a trial has
    ended (``TrialEnded``), trains with other source (``OtherSource``), or was taken up (``TakenUp``). Events may be
    lost with the server that carries them; what the study holds never is.

    Args:
        begin: Returns an iterator over the events; it calls its argument now and then, to be left by an exception.
    """

    def __init__(self, begin: Callable[[Callable[[], None]], Iterator[Notice]]) -> None:
        self._begin = begin

    def __iter__(self) -> Iterator[Notice]:
        return self._begin(lambda: None)

    async def __aiter__(self) -> AsyncIterator[Notice]:
        left = threading.Event()

        def check() -> None:
            if left.is_set():
                raise _Left

        events = self._begin(check)

        def next_event() -> Notice | None:
            try:
                return next(events, None)
            except _Left:
                return None

        try:
            while True:
                waiting = asyncio.ensure_future(asyncio.to_thread(next_event))
                try:
                    event = await asyncio.shield(waiting)
                except asyncio.CancelledError:
                    # The thread is left within the quarter of a second for which it listens at a time.
                    left.set()
                    await asyncio.wait([waiting])
                    raise
                if event is None:
                    return
                yield event
        finally:
            left.set()
            events.close()  # type: ignore[attr-defined]
