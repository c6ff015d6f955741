"""An async loop over events that is left while a thread listens for the next one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

from orchestrator.api.events import Events


class Listening:
    """A source of one event, which then listens until it is left."""

    def __init__(self) -> None:
        self.listens = threading.Event()
        self.closed = 0

    def events(self, check: Callable[[], None]) -> Iterator[Any]:
        try:
            yield "first"
            while True:
                self.listens.set()
                threading.Event().wait(0.05)
                check()
        finally:
            self.closed += 1

    async def follow(self) -> None:
        async for _ in Events(self.events):
            pass

    async def task(self) -> asyncio.Task[None]:
        task = asyncio.create_task(self.follow())
        await asyncio.to_thread(self.listens.wait)
        return task


def test_a_task_that_is_cancelled_twice_is_cancelled() -> None:
    source = Listening()

    async def main() -> bool:
        task = await source.task()
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(main())
    assert source.closed == 1


def test_a_task_that_is_left_at_the_end_of_the_event_loop_is_cancelled() -> None:
    source = Listening()
    assert asyncio.run(source.task()).cancelled()
    assert source.closed == 1
