"""The port of the loop to the processes beside it, which run samplers and pruner classes of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from orchestrator.model.changeset import Changes
from orchestrator.spec import Spec

if TYPE_CHECKING:
    from orchestrator.sampling.questions import Answer, Question
    from orchestrator.sampling.study_copy import StudyCopy


class Replicas(Protocol):
    """The processes that hold replicas of studies, and answer for their samplers and pruner classes."""

    def check(self, spec: Spec) -> bool:
        """Makes sure that classes of the user's own can be had; returns whether that is known yet.

        Raises:
            BadInput: one cannot.
        """

    def open(self, spec: Spec, seed: int) -> None:
        """Begins anew for a study that was just read."""

    def feed(self, study: str, changes: Changes) -> None:
        """Hands over what was committed of a study."""

    def ask(self, study: str, questions: Iterable[Question], copy: Callable[[], StudyCopy]) -> None:
        """Asks about a study, and returns at once; ``copy`` returns the study as it is now."""

    @property
    def has_news(self) -> bool:
        """Whether there is something to take."""

    def take(self) -> Iterable[tuple[str, Answer | Exception]]:
        """Returns what has come since the last call, by study: answers, or why there is none. ``NotAnswered`` where the
        study has to ask again."""

    def close(self, study: str | None = None) -> None:
        """Ends what runs for a study, or for all of them."""
