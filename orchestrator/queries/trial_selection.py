"""Selection and order of the trials in a list."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from orchestrator.model.lifecycle import WAITING, AttemptState

if TYPE_CHECKING:
    from orchestrator.model.records import TrialHead
    from orchestrator.queries.trial_queries import StudyTrials

STATES: Final = ("complete", "pruned", "fail", "running", "queued", "on-rung", "waiting")
"""Where a trial may be: Optuna's states in lower case, those of a trial that has not ended told apart."""

_AS_DATA: Final = {"on-rung": "paused"}


def state_named(name: str) -> str:
    """Returns which of ``STATES`` a name means; ``paused`` is what versions before called one on a rung."""
    return "on-rung" if name.lower() == "paused" else name.lower()


SORTS: Final = ("number", "value", "duration", "epochs", "attempts")


class Chosen(NamedTuple):
    """The trials to be shown, in order, and how many there were to choose from."""

    heads: list[TrialHead]
    among: int


def standing(head: TrialHead) -> str:
    """Returns where the trial is, one of ``STATES`` as programs read them: ``paused`` is on a rung."""
    if head.state != "RUNNING":
        return head.state.lower()
    if head.live in WAITING:
        return "queued"
    return "paused" if head.live == AttemptState.PAUSED else "running"


def choose_from(
    listing: StudyTrials,
    *,
    states: Collection[str],
    sort: str,
    reverse: bool,
    limit: int | None,
    now: datetime,
) -> tuple[Chosen, list[int]]:
    """Chooses trials of a study that is being read; arguments as of ``choose``.

    Returns:
        The trials, and the numbers of the best ones, in order.
    """
    best = listing.best()
    chosen = choose(
        listing.heads(),
        states=states,
        sort=sort,
        reverse=reverse,
        limit=limit,
        now=now,
        best=best,
        directions=listing.directions,
    )
    return chosen, best


def choose(
    heads: Sequence[TrialHead],
    *,
    states: Collection[str],
    sort: str,
    reverse: bool,
    limit: int | None,
    now: datetime,
    best: Sequence[int],
    directions: Sequence[str],
) -> Chosen:
    """Chooses trials of one study.

    By value the best comes first: completed trials before those that violate a constraint, then pruned ones; of
    several objectives the Pareto front, then the others by their first value. By anything else than their number those
    with the most come first. By their number the oldest come first; but where there are more than ``limit``, it is the
    newest that are shown.

    Args:
        heads: All of them, by number.
        states: Those of ``STATES`` that are shown; all where it is empty.
        sort: One of ``SORTS``.
        reverse: Whether the order is the other way round.
        limit: The most that are shown; None for all.
        now: Until when a trial has lasted that has not ended; UTC.
        best: Numbers of the best ones, in order.
        directions: Of the study.
    """
    place = {number: at for at, number in enumerate(best)}
    keys: dict[str, Callable[[TrialHead], tuple[float, ...]]] = {
        "number": lambda head: (head.number,),
        "value": lambda head: _by_value(head, place, directions),
        "duration": lambda head: (math.inf if (seconds := head.lasted(now)) is None else -seconds,),
        "epochs": lambda head: (-head.epochs,),
        "attempts": lambda head: (-head.attempts,),
    }
    wanted = {_AS_DATA.get(state, state) for state in states}
    found = [head for head in heads if not wanted or standing(head) in wanted]
    ordered = sorted(found, key=keys[sort], reverse=reverse)
    if limit is None or limit >= len(ordered):
        return Chosen(ordered, len(found))
    newest_are_last = sort == "number" and not reverse
    return Chosen(ordered[-limit:] if newest_are_last else ordered[:limit], len(found))


def _by_value(head: TrialHead, place: dict[int, int], directions: Sequence[str]) -> tuple[float, ...]:
    if head.number in place:
        return (0, place[head.number])
    if not head.values:
        return (4, 0)
    group = 3 if head.state != "COMPLETE" else 1 if head.feasible else 2
    value = head.values[0]
    return (group, -value if directions[0] == "maximize" else value)
