"""Pruning rules compared on one recording: a line for each, with its epochs drawn as a bar."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from orchestrator.common.formatting import NOTHING, aligned, count, cut, number, one_line, percent
from orchestrator.model.records import Recording
from orchestrator.queries.replay import Result, Together, side_by_side
from orchestrator.terminal.table_layout import Column, lay_out, no_room

_BAR = 16
_LONGEST = 34
_HEADS = {
    "rule": 0,
    "": 4,
    "epochs": 0,
    "saved": 1,
    "pruned": 2,
    "cut off": 3,
    "best left": 1,
    "rank": 2,
    "winner": 1,
}
"""The columns and their ranks; see ``Column``."""

_LEFT = ("rule", "", "winner")
_LEAST = {"rule": 12}


def render(recording: Recording, results: Sequence[Result], width: int) -> list[Text]:
    """Returns a headline, the table in lines of at most ``width`` cells, and remarks that explain it."""
    study = recording.study
    rows = [_row(each, results[0].trained) for each in results]
    columns = [
        Column(head, [(row[place], "") for row in rows], head not in _LEFT, rank, _LEAST.get(head))
        for place, (head, rank) in enumerate(_HEADS.items())
    ]
    lines, left_out = lay_out(columns, width)
    trials = f"{count(len(recording.trials), 'trial')}, {len(study.completed)} completed"
    epochs = count(results[0].trained, "epoch")
    head = Text(f"study {one_line(study.name)}: {trials}, {epochs}{_winner(recording, results)}")
    notes = [*_notes(recording, results), *([no_room(left_out)] if left_out else [])]
    return [head, Text(), *lines, *([Text()] if notes else []), *map(Text, notes)]


def render_together(sums: Sequence[Together], width: int) -> list[Text]:
    """Returns the table of several studies, in lines of at most ``width`` cells."""
    most = max((each.trained for each in sums), default=0)
    columns = [
        Column("rule", [(cut(one_line(each.label), _LONGEST), "") for each in sums], False, 0, _LEAST["rule"]),
        Column("", [(_bar(each.trained, most), "") for each in sums], False, 4),
        Column("epochs", [(f"{'≥ ' if each.cut else ''}{each.trained}", "") for each in sums], True, 0),
        Column("of recorded", [(percent(each.trained, each.recorded), "") for each in sums], True, 1),
        Column("winners kept", [(f"{each.kept} of {each.winners}", "") for each in sums], True, 0),
    ]
    lines, left_out = lay_out(columns, width)
    head = Text(f"{sums[0].studies} studies together")
    return [head, Text(), *lines, *([Text(), Text(no_room(left_out))] if left_out else [])]


def _bar(trained: int, most: int) -> str:
    full = round(_BAR * trained / most) if most else 0
    return "━" * full + "─" * (_BAR - full)


def _winner(recording: Recording, results: Sequence[Result]) -> str:
    winner = results[0].winner
    return "" if winner is None else f"; winner trial {winner} with {number(recording.study.completed[winner])}"


def _row(result: Result, most: int) -> tuple[str, ...]:
    # A trial that was cut off would have been trained further; it is not known how far.
    least, at_most = ("≥ ", "≤ ") if result.cut else ("", "")
    winner = NOTHING if result.winner is None else "kept"
    if result.winner_pruned is not None:
        winner = f"pruned at epoch {result.winner_pruned}"
    return (
        cut(one_line(result.label), _LONGEST),
        _bar(result.trained, most),
        f"{least}{result.trained}",
        NOTHING if result.recorded else f"{at_most}{result.saved}",
        str(len(result.pruned)),
        str(result.cut) if result.cut else NOTHING,
        aligned(result.value),
        NOTHING if result.rank is None else str(result.rank),
        winner,
    )


def _notes(recording: Recording, results: Sequence[Result]) -> list[str]:
    notes = []
    pruned = len(results[0].pruned)
    running = sum(each.state == "RUNNING" for each in recording.trials.values())
    if any(each.cut for each in results):
        notes.append(
            f"The recording pruned {count(pruned, 'trial')}, whose curves end there. Those that a rule lets go on are "
            "counted as cut off: what they would have come to is not known, and here they end as pruned."
        )
    if promoting := [each.label for each in results if each.promotes]:
        notes.append(
            f"{', '.join(map(one_line, promoting))}: searched among the recorded curves, with "
            f"{count(side_by_side(recording), 'slot')}; what it would have asked for after the last one is not known."
        )
    for steps in sorted({each.assumed for each in results if each.assumed is not None}):
        notes.append(
            f"The study says no max_steps: rules that need it took {steps}, as the longest completed trial has."
        )
    if running:
        notes.append(f"{count(running, 'trial')} still {'runs' if running == 1 else 'run'}: taken as far as reported.")
    return notes
