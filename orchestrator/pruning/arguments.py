"""The model of a rule's arguments: what the spec may say, what the rule is built from, and how its decisions read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from orchestrator.common.field_types import Count, CountOrZero
from orchestrator.common.table import Table
from orchestrator.pruning.base import Direction, RuleBase
from orchestrator.pruning.words import RuleWords


@dataclass(frozen=True, slots=True)
class Search:
    """The part of a search that its rule may know.

    Attributes:
        direction: Which way is better.
        study_name: The study's name as it is stored.
        max_steps: Steps of a full trial; None where the spec does not say.
        trials: The budget in trials.
        adapt: Returns a rule that asks a pruner of Optuna's kind, from its name and its keyword arguments.
    """

    direction: Direction
    study_name: str
    max_steps: int | None
    trials: int
    adapt: Callable[[str, Mapping[str, Any]], RuleBase]


class RuleArguments(Table):
    """A table [pruner], [shadow] or [pruner.wrapped] of the spec.

    A subclass gives ``name`` a literal and a default. Its docstring is the rule's section of the spec's reference: the
    first paragraphs, what each key means under ``Attributes``, and TOML under ``Example``. A rule around another one
    has a field ``wrapped`` for that rule's table.

    Attributes:
        name: The rule's name.
        words: How the rule's decisions read.
        learns: Whether the rule has to be asked about every report, since it learns from what it decides about.
        rung_keys: The keys that say where its rungs are; trials that pause there must find them again.
    """

    words: ClassVar[type[RuleWords]] = RuleWords
    learns: ClassVar[bool] = False
    rung_keys: ClassVar[tuple[str, ...]] = ()

    name: str

    @property
    def promotes(self) -> bool:
        """Whether trials pause and the best go on, instead of being stopped."""
        return False

    @property
    def needs_max_steps(self) -> bool:
        """Whether the rule has to know how long a full trial is."""
        return self.promotes

    @property
    def restarts(self) -> bool:
        """Whether a trial that goes on is trained from its first step again, not from a checkpoint."""
        return False

    @property
    def own_class(self) -> bool:
        """Whether the rule runs a class of the user, which may hang or crash: it is asked in a process of its own."""
        return False

    @abstractmethod
    def build(self, search: Search) -> RuleBase:
        """Returns a new rule."""

    def check_steps(self, max_steps: int | None, key: tuple[str, ...]) -> None:
        """Refuses rungs that no trial would reach.

        Args:
            max_steps: The spec's; None where it does not say.
            key: Where this table stands.

        Raises:
            Fault: with the key from the top of the spec.
        """


class IntervalArguments(RuleArguments):
    """When a rule checks a trial.

    Attributes:
        n_warmup_steps: No trial is stopped before this step.
        interval_steps: From there on, a check every so many steps.
    """

    n_warmup_steps: CountOrZero = 0
    interval_steps: Count = 1
