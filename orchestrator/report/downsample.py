"""Of many things a few: what a page can draw and an eye can take in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from optuna.trial import FrozenTrial

from orchestrator.report.facts import Facts

T = TypeVar("T")


def spread(items: Sequence[T], most: int) -> list[T]:
    """Returns at most so many, evenly spread, the first and the last one among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(index * (len(items) - 1) / (most - 1))] for index in range(most)]


def best_and_spread(facts: Facts, most: int) -> list[FrozenTrial]:
    """Returns at most so many completed trials by number: the best fifth, the rest spread over the search."""
    if len(facts.completed) <= most:
        return facts.completed
    best = facts.ranked[: most // 5]
    kept = {trial.number for trial in best}
    rest = spread([trial for trial in facts.completed if trial.number not in kept], most - len(best))
    return sorted([*best, *rest], key=lambda trial: trial.number)


def limit(drawn: int, there: int, noun: str) -> str:
    """Returns what to say where not everything is drawn; nothing where it is."""
    return "" if drawn >= there else f" Drawn are {drawn} of {there} {noun}."
