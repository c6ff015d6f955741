"""The events of a study, for a loop and for an async loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

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

        events: Any = self._begin(check)
        inside = threading.Lock()

        def next_event() -> Notice | None:
            with inside:
                try:
                    return next(events, None)
                except _Left:
                    return None
                finally:
                    if left.is_set():
                        events.close()

        waiting: asyncio.Future[Notice | None] | None = None
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
            # A second cancellation, or that of all tasks as the event loop ends, leaves the thread while it listens: it
            # closes the iterator itself then.
            if inside.acquire(blocking=False):
                events.close()
                inside.release()
            if waiting is not None:
                waiting.add_done_callback(_seen)


def _seen(waiting: asyncio.Future[Notice | None]) -> None:
    """Takes note of how a thread ended that is waited for no more; asyncio would report an error of it as unseen."""
    if not waiting.cancelled():
        waiting.exception()
