"""An async loop over events that is left while a thread listens for the next one."""

from __future__ import annotations

import asyncio
import contextlib
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


def test_a_loop_that_is_broken_off_leaves_its_source() -> None:
    source = Listening()

    async def main() -> object:
        async with contextlib.aclosing(aiter(Events(source.events))) as events:
            async for event in events:
                return event
        return None

    assert asyncio.run(main()) == "first"
    assert source.closed == 1


def test_a_loop_that_is_broken_off_and_forgotten_leaves_its_source_as_the_event_loop_ends() -> None:
    source = Listening()

    async def main() -> None:
        async for _ in Events(source.events):
            break

    asyncio.run(main())
    assert source.closed == 1


def test_of_two_loops_at_once_one_is_left_and_the_other_goes_on() -> None:
    source = Listening()
    events = Events(source.events)

    async def main() -> bool:
        one, other = aiter(events), aiter(events)
        assert [await anext(one), await anext(other)] == ["first", "first"]
        left = asyncio.ensure_future(anext(one))
        goes_on = asyncio.ensure_future(anext(other))
        await asyncio.to_thread(source.listens.wait)
        left.cancel()
        await asyncio.wait([left])
        assert source.closed == 1
        goes_on.cancel()
        await asyncio.wait([goes_on])
        return left.cancelled() and goes_on.cancelled()

    assert asyncio.run(main())
    assert source.closed == 2


def test_a_loop_goes_on_in_another_event_loop() -> None:
    source = Listening()
    events = Events(source.events)

    async def first() -> object:
        async with contextlib.aclosing(aiter(events)) as each:
            return await anext(each)

    assert [asyncio.run(first()), asyncio.run(first()), next(iter(events))] == ["first"] * 3
