"""A rule that pauses trials at rungs instead of stopping them, and chooses which one goes on when a slot is free."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.pruning.base import Decision, RuleBase


@dataclass(frozen=True, slots=True)
class Promotion:
    """A trial that goes on, and why.

    Attributes:
        trial: Its number.
        rung: Index of the rung that it is headed for now.
        decision: At the rung that it leaves: ``step`` of that rung, the trial's ``value`` there, ``threshold`` and
            ``peers`` as the rule says.
    """

    trial: int
    rung: int
    decision: Decision


class PausingRule(RuleBase):
    """Trials run in slices, each to a rung; between two of them they are paused and take no slot.

    All that the rule knows follows from what is stored: reports, attributes, how trials ended, which are paused, and
    which have started.

    Attributes:
        rungs: Their steps; in the last slice a trial runs to its end.
        table: How many configurations there will be, where the rule depends on it.
    """

    rungs: tuple[int, ...]
    table: int | None = None

    def start(self, trial: int) -> None:
        """Takes in that a trial has been given a place in the queue. Again, it changes nothing."""

    def take_back(self, trial: int) -> None:
        """Takes in that a trial lost its place before it began. Of one that was not started it changes nothing."""

    def expect_new(self, more: bool) -> None:
        """Takes in whether new trials may still start; if not, ``promote`` need not leave a slot to one."""

    @abstractmethod
    def until(self, trial: int) -> int | None:
        """Returns the step to which the trial's present slice runs; None: to its end."""

    @abstractmethod
    def beyond(self, trial: int) -> int | None:
        """Returns the step of the rung after ``until``; None where that is None."""

    @abstractmethod
    def pause(self, trial: int) -> None:
        """Takes in that a trial's slice has ended. Again, or of an ended trial, it changes nothing.

        Raises:
            ValueError: The trial is in its last slice, where none pauses.
        """

    @abstractmethod
    def paused(self) -> list[int]:
        """Returns all paused trials in the order of their numbers."""

    def may_promote(self) -> bool:
        """Returns whether ``promote`` would find a trial."""
        return self.next_up() is not None

    @abstractmethod
    def promote(self) -> Promotion | None:
        """Returns the trial that goes on now, which is no longer paused; None where a new one is worth more."""

    @abstractmethod
    def standing(self, trial: int) -> Decision:
        """Returns why a trial does not go on."""

    @abstractmethod
    def next_up(self) -> int | None:
        """Returns the trial that ``promote`` would choose now."""

    @abstractmethod
    def on_rung(self) -> Sequence[int]:
        """Returns, for each rung, how many trials are paused there."""

    @abstractmethod
    def first_in_line(self) -> Sequence[int | None]:
        """Returns, for each rung, the paused trial there that goes on before all others; None where none may."""

    def rest(self, trials: int) -> int | None:  # noqa: ARG002
        """Returns about how many epochs are still trained where there will be so many ``trials`` in all; None where
        that cannot be told."""
        return None

    @abstractmethod
    def held(self) -> list[tuple[int, int]]:
        """Returns, for each rung, its step and how many trials have reached it."""
