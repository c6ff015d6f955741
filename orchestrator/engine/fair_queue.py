"""A queue that gives each study its share: start-time fair queueing.

After P. Goyal, H. M. Vin, H. Cheng, "Start-time fair queueing", SIGCOMM 1996. Each item costs its study 1 / weight of
virtual time. The study whose next item has the earliest start goes first, and virtual time is the start of the item
that went last. A study that had nothing to send for a while begins at the present virtual time: it neither makes up for
the time that it was away, nor waits for the others.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _Flow(Generic[T]):
    """The items of one study, with the virtual time at which its next one starts."""

    start: float = 0.0
    weight: float = 1.0
    items: deque[tuple[int, T]] = field(default_factory=deque)


class FairQueue(Generic[T]):
    """Items of several studies, in the order in which each study gets a share of them by its weight.

    Over any time in which two studies always have items, the numbers of their items, each divided by its study's
    weight, differ by at most 1 / weight of the one plus 1 / weight of the other.
    """

    def __init__(self) -> None:
        self._flows: dict[str, _Flow[T]] = {}
        self._now = 0.0
        self._added = 0

    def __len__(self) -> int:
        return sum(len(flow.items) for flow in self._flows.values())

    def __bool__(self) -> bool:
        return any(flow.items for flow in self._flows.values())

    def studies(self) -> set[str]:
        """Returns the studies that have items."""
        return {study for study, flow in self._flows.items() if flow.items}

    def items(self) -> list[T]:
        """Returns all items."""
        return [item for flow in self._flows.values() for _, item in flow.items]

    def add(self, study: str, weight: float, item: T) -> None:
        """Adds an item behind those of its study; ``weight``, above zero, holds for the study from now on."""
        flow = self._flows.setdefault(study, _Flow(self._now))
        if not flow.items:
            flow.start = max(flow.start, self._now)
        flow.weight = weight
        self._added += 1
        flow.items.append((self._added, item))

    def first(self) -> T:
        """Returns the item that is next; raises LookupError where there is none."""
        return self._flows[self._next()].items[0][1]

    def pop(self) -> T:
        """Removes the item that is next, and returns it; raises LookupError where there is none."""
        flow = self._flows[self._next()]
        self._now = flow.start
        _, item = flow.items.popleft()
        flow.start += 1 / flow.weight
        if not self:
            # Virtual time goes on to the first study that could be next.
            self._now = min(each.start for each in self._flows.values())
        self._flows = {study: each for study, each in self._flows.items() if each.items or each.start > self._now}
        return item

    def remove(self, study: str, item: T) -> None:
        """Removes an item that is wanted no more; its study pays nothing for it."""
        flow = self._flows[study]
        flow.items = deque(each for each in flow.items if each[1] is not item)

    def _next(self) -> str:
        waiting = [(flow.start, flow.items[0][0], study) for study, flow in self._flows.items() if flow.items]
        if not waiting:
            raise LookupError("the queue is empty")
        return min(waiting)[2]
