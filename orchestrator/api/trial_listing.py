"""The trials of a study, chosen and in order: as plain data one by one, and as a table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from orchestrator.common.errors import BadInput, did_you_mean
from orchestrator.common.faults import show

# The command line names them among its options.
from orchestrator.queries.trial_selection import SORTS as SORTS
from orchestrator.queries.trial_selection import STATES as STATES
from orchestrator.queries.trial_selection import choose_from
from orchestrator.queries.trial_selection import state_named as state_named

if TYPE_CHECKING:
    from rich.console import RenderableType

    from orchestrator.queries.study_reader import StudyReader
    from orchestrator.queries.trial_queries import StudyTrials
    from orchestrator.queries.trial_selection import Chosen


@contextmanager
def open_listing(
    open_reader: Callable[[], AbstractContextManager[StudyReader]],
    study: str,
    *,
    states: Collection[str],
    sort: str,
    reverse: bool,
    limit: int | None,
) -> Iterator[TrialListing]:
    """Yields the trials of a study, which are read from the database as they are gone through.

    Args:
        open_reader: Opens the database.
        study: Its name.
        states, sort, reverse, limit: As of ``StudyHandle.trials``.

    Raises:
        BadInput: there is no such study or state.
    """
    wanted = [state_named(state) for state in states]
    for strange in (state for state in wanted if state not in STATES):
        raise BadInput("trials: states", f"is {show(strange)}", did_you_mean(strange, STATES))
    now = datetime.now(UTC)
    with open_reader() as reader:
        listing = reader.trials(study)
        chosen, best = choose_from(listing, states=wanted, sort=sort, reverse=reverse, limit=limit, now=now)
        yield TrialListing(listing, chosen, best, wanted, sort, limit, now)


class TrialListing:
    """Trials that were chosen; ``open_listing`` makes it."""

    def __init__(
        self,
        listing: StudyTrials,
        chosen: Chosen,
        best: list[int],
        states: list[str],
        sort: str,
        limit: int | None,
        now: datetime,
    ) -> None:
        self._listing, self._chosen, self._best, self._now = listing, chosen, best, now
        self._states, self._sort, self._limit = states, sort, limit
        self._enqueued = listing.enqueued() if not states or "waiting" in states else []

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yields each trial as plain data, those behind the others that were enqueued and have no number yet."""
        from orchestrator.terminal.trial_table import enqueued_to_json, to_json

        heads = self._chosen.heads
        room = None if self._limit is None else max(0, self._limit - len(heads))
        trials = (to_json(each, self._best, self._now) for each in self._listing.trials(heads))
        return chain(trials, map(enqueued_to_json, self._enqueued[:room]))

    def lines(self, width: int) -> list[RenderableType]:
        """Returns the table, for a terminal of so many columns, and notes on it."""
        from orchestrator.terminal.trial_table import enqueued_lines, remarks, render

        found = list(self._listing.trials(self._chosen.heads))
        if not found and not self._enqueued:
            return [f"no trials that are {' or '.join(self._states)}" if self._states else "no trials yet"]
        objectives = len(self._listing.directions)
        table, left_out = render(found, self._best, objectives, width, self._now)
        marked = sum(each.head.number in self._best for each in found)
        notes = remarks(len(found), self._chosen.among, self._sort == "number", marked, objectives, left_out)
        notes += enqueued_lines(self._enqueued)
        if not found:
            return [*notes]
        return [*table, "", *notes] if notes else [*table]
