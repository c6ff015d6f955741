"""Where studies stand, as text: a line for each, or one of them in full."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from orchestrator.common.formatting import NOTHING, clock, count, duration, number, one_line, percent
from orchestrator.common.json_text import plain
from orchestrator.model.progress_events import Progress
from orchestrator.model.study_states import ENDED, OPTUNAS
from orchestrator.model.study_status import Overview, Told
from orchestrator.terminal.live_frame import STYLES, head, silent_lines, slot_table
from orchestrator.terminal.live_state import SlotView
from orchestrator.terminal.table_layout import Cell, Column, lay_out, no_room

_HOUR = 3600
_SHORTEST_NAME = 12


def render_list(overviews: Sequence[Overview], width: int, now: float) -> RenderableType:
    """Returns a table of studies in lines of at most ``width`` cells; ``now`` in seconds since the epoch."""
    if not overviews:
        return Text("no studies yet")

    def column(head: str, cell: Callable[[Overview], Cell | str], rank: int) -> Column:
        cells = [found if isinstance(found, tuple) else (found, "") for found in map(cell, overviews)]
        return Column(head, cells, right=True, rank=rank)

    names = [(one_line(each.progress.study), "bold") for each in overviews]
    states = [_state(each) for each in overviews]
    columns = [
        Column("study", names, least=_SHORTEST_NAME),
        Column("state", states),
        column("trials", lambda each: f"{each.ended}/{each.progress.budget}", 0),
        column("running", lambda each: str(each.progress.running), 3),
        column("pruned", lambda each: str(each.progress.pruned), 4),
        column("failed", _failed, 2),
        column("epochs", lambda each: str(each.progress.epochs), 6),
        column("saved", lambda each: _saved(each.progress), 4),
        column("best", lambda each: _best(each.progress), 1),
        column("trials/h", _rate, 3),
        column("epochs/s", lambda each: _epoch_rate(each, now), 5),
        column("ETA", lambda each: _eta(each, now), 1),
        column("changed", lambda each: _since(each.changed, now), 5),
    ]
    lines, left_out = lay_out(columns, width)
    if left_out:
        lines += [Text(), Text(no_room(left_out), style="dim")]
    said = [
        f"{one_line(each.progress.study)} is suspended: {each.progress.reason}" for each in overviews if each.suspended
    ]
    if said:
        lines += [Text(), *(Text(line, style="red") for line in said)]
    return Group(*lines)


def render_status(overview: Overview, width: int, now: float) -> RenderableType:
    """Returns one study in full, in lines of at most ``width`` cells; ``now`` in seconds since the epoch."""
    progress, eta = overview.progress, overview.eta(now)
    parts: list[RenderableType] = [*head(progress, "" if eta is None else f"ETA {clock(eta)}", width)]
    if progress.state not in (*ENDED, OPTUNAS) and (pace := _pace(overview, now)):
        parts.append(Text(pace))
    if overview.flagged:
        parts.append(Text(f"flagged: {one_line(overview.flagged)}", style="bold yellow"))
    parts.append(Text(_history(overview, now), style="dim"))
    parts += [Text(words, style="yellow") for words in filter(None, map(note_trouble, overview.notes))]
    parts += silent_lines(progress)
    if progress.slots:
        slots = [SlotView(line) for line in progress.slots]
        parts += [Text(""), slot_table(slots, len(slots), progress, 0.0, width)]
    return Group(*parts)


def to_json(overview: Overview, now: float) -> dict[str, Any]:
    """Returns everything that is known, as plain data; times in seconds, moments since the epoch."""
    progress = {key: value for key, value in msgspec.to_builtins(overview.progress).items() if key != "type"}
    data: dict[str, Any] = plain(progress)
    epochs = overview.epoch_rate(now)
    return data | {
        "flagged": overview.flagged or None,
        "suspended": None if overview.suspended is None else overview.suspended.shown(progress["study"]),
        "created": overview.created,
        "changed": overview.changed,
        "trials_per_hour": None if overview.rate is None else round(overview.rate * _HOUR, 3),
        "epochs_per_second": None if epochs is None else round(epochs, 6),
        "eta_s": overview.eta(now),
        "notes": [note._asdict() for note in overview.notes],
    }


def _history(overview: Overview, now: float) -> str:
    """Since when there is the study, and since when it stands as it does."""
    created, changed, state = overview.created, overview.changed, overview.progress.state
    if state == OPTUNAS:
        words = "made by Optuna, never run by this program"
        begun = f"; first trial {_since(created, now)}, latest news {_since(changed, now)}"
        return words if created is None else words + begun
    return f"created {_since(created, now)}, {state} for {_since(changed, now).removesuffix(' ago')}"


def _since(at: float | None, now: float) -> str:
    return NOTHING if at is None else f"{_ago(now - at)} ago"


def _state(overview: Overview) -> Cell:
    state = overview.progress.state
    if state == OPTUNAS:
        return "Optuna's", "dim"
    return (f"{state}, flagged", "bold yellow") if overview.flagged else (state, STYLES.get(state, ""))


def _failed(overview: Overview) -> Cell:
    failed = overview.progress.failed
    return str(failed), "red" if failed else ""


def _eta(overview: Overview, now: float) -> str:
    eta = overview.eta(now)
    return NOTHING if eta is None else clock(eta)


def note_trouble(note: Told) -> str:
    """Nothing of a note that was taken, or is on its way."""
    if note.state == "delivered" or not note.tries:
        return ""
    how = "still owed" if note.state == "owed" else "failed"
    return f"note '{note.event}' ({note.kind}) {how} after {count(note.tries, 'attempt')}: {one_line(note.detail)}"


def _saved(progress: Progress) -> str:
    if progress.max_steps is None:
        return NOTHING
    return percent(progress.epochs_saved, progress.epochs + progress.epochs_saved)


def _best(progress: Progress) -> str:
    if progress.front is not None:
        return f"front of {progress.front}"
    return number(progress.best.value) if progress.best else NOTHING


def _rate(overview: Overview) -> str:
    if overview.rate is None:
        return NOTHING
    return _three_digits(overview.rate * _HOUR)


def _epoch_rate(overview: Overview, now: float) -> str:
    rate = overview.epoch_rate(now)
    return NOTHING if rate is None else _three_digits(rate)


def _three_digits(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _pace(overview: Overview, now: float) -> str:
    """How fast it goes, in words; nothing where it is too early to tell."""
    trials, epochs = overview.rate, overview.epoch_rate(now)
    parts = [] if trials is None else [f"{_rate(overview)} trials an hour"]
    if epochs:
        parts.append(_in_words(epochs))
    since = "" if trials is None else f", by the last {count(len(overview.ends), 'trial')}"
    return " and ".join(parts) + since if parts else ""


def _in_words(epochs: float) -> str:
    """In the shortest time in which there is at least one."""
    units = ((1, "a second"), (60, "a minute"), (_HOUR, "an hour"), (24 * _HOUR, "a day"))
    seconds, unit = next((each for each in units if epochs * each[0] >= 1), units[-1])
    return f"{_three_digits(epochs * seconds)} epochs {unit}"


def _ago(seconds: float) -> str:
    """Clocks of two hosts may differ; nothing lies in the future."""
    days, rest = divmod(max(0.0, seconds), 24 * _HOUR)
    if days:
        return count(int(days), "day")
    return duration(rest) if rest < _HOUR else f"{int(rest // _HOUR)}h"
