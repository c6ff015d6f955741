"""A study as an engine has it, for a replica of it in another process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial

_PIECE = 10
"""Weight of a piece: to pickle it takes some 0.3 ms, during which no other thread runs."""

_VALUES = 200
"""Intermediate values that weigh as much as a trial without any."""


class StudyCopy(NamedTuple):
    """A study, or a piece of one, as it is at one moment. What it refers to does not change any more.

    Attributes:
        trials: By number, without ``MARKS``.
        ahead: Names of the parameters of each that are only sampled ahead.
        user_attrs, system_attrs: The study's attributes.
    """

    trials: Sequence[FrozenTrial]
    ahead: Mapping[int, Iterable[str]]
    user_attrs: Mapping[str, Any]
    system_attrs: Mapping[str, Any]

    def pieces(self) -> Iterator[StudyCopy]:
        """Yields the study in pieces of bounded size, to be loaded in this order."""
        yield StudyCopy((), {}, self.user_attrs, self.system_attrs)
        piece: list[FrozenTrial] = []
        weight = 0.0
        for trial in self.trials:
            piece.append(trial)
            weight += 1 + len(trial.intermediate_values) / _VALUES
            if weight >= _PIECE:
                yield self._piece(piece)
                piece, weight = [], 0.0
        if piece:
            yield self._piece(piece)

    def _piece(self, trials: Sequence[FrozenTrial]) -> StudyCopy:
        ahead = {trial.number: self.ahead[trial.number] for trial in trials if trial.number in self.ahead}
        return StudyCopy(trials, ahead, {}, {})
