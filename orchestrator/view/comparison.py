"""Rules side by side: a line each, with the epochs drawn as bars. The same with and without a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

from orchestrator.recorded import Recording
from orchestrator.replay import Result
from orchestrator.view.words import NOTHING, aligned, count, number, one_line

_BAR = 16
_LONGEST = 34
_HEADS = ("rule", "epochs trained", "", "saved", "pruned", "cut off", "best left", "rank", "winner")
_LEFT = (0, 1, 8)


def render(recording: Recording, results: Sequence[Result]) -> str:
    """Returns the table with a line before it and what has to be known to read it after it."""
    study = recording.study
    rows = [_HEADS, *(_row(each, len(recording.reports)) for each in results)]
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(_HEADS))]
    widths[0] = min(widths[0], _LONGEST)
    trials = f"{count(len(recording.trials), 'trial')}, {len(study.completed)} completed"
    lines = [
        f"study {one_line(study.name)}: {trials}, {count(len(recording.reports), 'epoch')}{_winner(recording, results)}"
    ]
    lines += ["", *(_line(row, widths) for row in rows), *_notes(recording, results)]
    return "\n".join(lines)


def _winner(recording: Recording, results: Sequence[Result]) -> str:
    winner = results[0].winner
    return "" if winner is None else f"; winner trial {winner} with {number(recording.study.completed[winner])}"


def _row(result: Result, most: int) -> tuple[str, ...]:
    full = round(_BAR * result.trained / most) if most else 0
    # A trial that was cut off would have been trained further, by how much is not known.
    least, at_most = ("≥ ", "≤ ") if result.cut else ("", "")
    winner = NOTHING if result.winner is None else "kept"
    if result.winner_pruned is not None:
        winner = f"pruned at epoch {result.winner_pruned}"
    return (
        one_line(result.label),
        "━" * full + "─" * (_BAR - full),
        f"{least}{result.trained}",
        NOTHING if result.recorded else f"{at_most}{result.saved}",
        str(len(result.pruned)),
        str(result.cut) if result.cut else NOTHING,
        aligned(result.value),
        NOTHING if result.rank is None else str(result.rank),
        winner,
    )


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = []
    for column, (text, width) in enumerate(zip(row, widths, strict=True)):
        if cell_len(text) > width:
            text = set_cell_size(text, width - 1).rstrip() + "…"
        padding = " " * (width - cell_len(text))
        cells.append(text + padding if column in _LEFT else padding + text)
    return "  ".join(cells).rstrip()


def _notes(recording: Recording, results: Sequence[Result]) -> list[str]:
    notes = []
    pruned = len(results[0].pruned)
    running = sum(each.state == "RUNNING" for each in recording.trials.values())
    if any(each.cut for each in results):
        notes += [
            f"The recording pruned {count(pruned, 'trial')}, whose curves end there. Those that a rule lets go on are",
            "counted as cut off: what they would have come to is not known, and here they end as pruned.",
        ]
    if running:
        notes.append(f"{count(running, 'trial')} still {'runs' if running == 1 else 'run'}: taken as far as reported.")
    return ["", *notes] if notes else []
