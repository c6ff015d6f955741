"""Trying pruning rules on what was recorded of studies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from orchestrator.api.access import Reader
from orchestrator.api.shown import Answer
from orchestrator.common.errors import BadInput

if TYPE_CHECKING:
    from rich.console import RenderableType

    from orchestrator.model.records import Recording

Waiting = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Shows how far something is: given its name and its number of steps, it yields what takes the steps done since."""


@contextmanager
def unseen(_what: str, _total: int) -> Iterator[Callable[[int], None]]:
    """Shows nothing."""
    yield lambda _: None


def replay(
    reader: Reader, studies: Iterable[str], pruners: Iterable[str], where: str, waiting: Waiting = unseen
) -> Answer:
    """Says what pruning rules would have saved of what was recorded.

    Args:
        studies: Names.
        pruners: Rules such as ``"median n_startup_trials=2"``, or paths of specs whose pruner is taken.
        where: What the rules are called in messages.

    Raises:
        BadInput: one is no rule, a study is not there, or has several objectives.
    """
    from orchestrator.queries.replay import Candidate, compare, together
    from orchestrator.spec.inline_pruner import read_pruner
    from orchestrator.terminal.replay_table import render, render_together

    candidates = [Candidate(text, read_pruner(text, where)) for text in pruners]
    recordings = _recordings(reader, studies)
    reports = sum(len(recording.reports) for recording in recordings)
    with waiting("replaying", len(candidates) * reports) as advance:
        results = [compare(recording, candidates, advance) for recording in recordings]
    tables = [[each.to_json() for each in found] for found in results]

    def lines(width: int) -> list[RenderableType]:
        if len(recordings) == 1:
            return list(render(recordings[0], results[0], width))
        shown: list[RenderableType] = []
        for recording, found in zip(recordings, results, strict=True):
            shown += [*render(recording, found, width), ""]
        return [*shown, *render_together(together(results), width)]

    if len(recordings) == 1:
        return Answer(lines, tables[0])
    found = [{"study": each.study.name, "rules": table} for each, table in zip(recordings, tables, strict=True)]
    return Answer(lines, {"studies": found, "together": [each.to_json() for each in together(results)]})


def tune_rule(reader: Reader, studies: Iterable[str], waiting: Waiting = unseen) -> Answer:
    """Recommends a pruning rule from what was recorded.

    Raises:
        BadInput: a study is not there or has several objectives, or too little was recorded.
    """
    from orchestrator.queries.rule_tuning import RULES, judge
    from orchestrator.terminal.tuning_table import render, to_json

    recordings = _recordings(reader, studies)
    with waiting("trying rules", len(RULES)) as advance:
        judged = judge(recordings, advance)
    return Answer(lambda width: render(recordings, judged, width), to_json(recordings, judged))


def _recordings(reader: Reader, studies: Iterable[str]) -> list[Recording]:
    names = dict.fromkeys(studies)
    if not names:
        raise BadInput("studies", "none is named", "name one or more")
    with reader() as it:
        return [it.recording(name) for name in names]
