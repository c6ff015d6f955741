"""Studies as text: a table with a line for each, or one study in full."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from orchestrator.common.advice import how_to
from orchestrator.common.formatting import NOTHING, clock, count, number, one_line, percent
from orchestrator.common.json_text import plain
from orchestrator.model.progress_events import Progress
from orchestrator.model.state_words import INTERRUPTED, UNATTENDED, study_word
from orchestrator.model.study_states import ENDED, HELD, OPTUNAS
from orchestrator.model.study_status import NotificationStatus, Overview, counts_epochs, trials_done
from orchestrator.terminal.live_frame import STYLES, head, rung_lines, silent_lines, slot_table
from orchestrator.terminal.live_state import SlotView
from orchestrator.terminal.table_layout import Cell, Column, lay_out, no_room

_HOUR = 3600
_SHORTEST_NAME = 12


def render_list(overviews: Sequence[Overview], width: int, now: float) -> RenderableType:
    """Returns a table of studies in lines of at most ``width`` cells; ``now`` in seconds since the epoch."""
    if not overviews:
        return Text("no studies yet")

    def column(head: str, cell: Callable[[Overview], Cell | str], rank: int) -> Column:
        return Column.of(head, overviews, cell, right=True, rank=rank)

    waits = any(each.progress.enqueued for each in overviews)
    columns = [
        Column.of("study", overviews, lambda each: (one_line(each.progress.study), "bold"), least=_SHORTEST_NAME),
        Column.of("state", overviews, _state),
        column("trials", lambda each: trial_count(each.progress), 0),
        column("running", lambda each: str(each.progress.running), 3),
        column("pruned", lambda each: str(each.progress.pruned), 4),
        column("failed", _failed, 2),
        *([column("waiting", lambda each: str(each.progress.enqueued), 4)] if waits else []),
        column("epochs", lambda each: str(each.progress.epochs), 6),
        column("saved", lambda each: _saved(each.progress), 4),
        column("best", lambda each: best_value(each.progress), 1),
        *([column("leading", _leading, 2)] if any(each.progress.leader for each in overviews) else []),
        column("trials/h", _rate, 3),
        column("epochs/s", lambda each: _epoch_rate(each, now), 5),
        column("ETA", lambda each: _eta(each, now), 1),
        column("changed", lambda each: _since(each.changed, now), 5),
    ]
    lines, left_out = lay_out(columns, width)
    if left_out:
        lines += [Text(), Text(no_room(left_out), style="dim")]
    said = [
        f"{one_line(each.progress.study)} is {study_word(each.progress.state)}: {standstill}"
        for each in overviews
        if (standstill := _standstill(each, now))
    ]
    if said:
        lines += [Text(), *(Text(line, style="red") for line in said)]
    return Group(*lines)


def render_status(overview: Overview, width: int, now: float) -> RenderableType:
    """Returns one study in full, in lines of at most ``width`` cells; ``now`` in seconds since the epoch."""
    progress, eta = overview.progress, overview.eta(now)
    if overview.suspended:
        # It is said in full below, where it is not cut off.
        progress = msgspec.structs.replace(progress, reason="")
    parts: list[RenderableType] = [*head(progress, "" if eta is None else f"ETA {clock(eta)}", width, most=100)]
    if progress.state in ("running", "ending") and (pace := _pace(overview, now)):
        parts.append(Text(pace))
    if standstill := _standstill(overview, now):
        parts.append(Text(standstill, style="red"))
    if overview.flagged:
        parts.append(Text(f"flagged: {one_line(overview.flagged)}", style="bold yellow"))
    parts.append(Text(_history(overview, now), style="dim"))
    parts += [Text(words, style="yellow") for words in filter(None, map(delivery_failure, overview.notes))]
    parts += silent_lines(progress)
    if progress.rungs:
        parts += [Text(""), *rung_lines(progress, len(progress.rungs), width)]
    if progress.slots and progress.state != UNATTENDED:
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
        "control_plane": _seen(overview),
        "created": overview.created,
        "changed": overview.changed,
        "trials_per_hour": None if overview.rate is None else round(overview.rate * _HOUR, 3),
        "epochs_per_second": None if epochs is None else round(epochs, 6),
        "eta_s": overview.eta(now),
        "notes": [note._asdict() for note in overview.notes],
    }


def _standstill(overview: Overview, now: float) -> str:
    """Returns why nothing is done for a study that has not ended, and what changes that; empty where something is."""
    progress, absence = overview.progress, overview.absence
    resume = f"'{one_line(how_to('resume', progress.study))}'"
    if overview.suspended:
        return progress.reason
    if absence is None:
        return f"{resume} goes on with it" if progress.state in HELD else ""
    again = f"the same '{how_to('run')}', or {resume}, goes on with it"
    if not absence.alone:
        again = "'orchestrator serve' looks after it again"
        if progress.state in HELD:
            again += f", and {resume} goes on with it"
    if progress.state == INTERRUPTED:
        return again
    if absence.since is None:
        return f"no control plane looks after it; {again}"
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(absence.since))
    return f"no control plane has been seen since {moment}, {_ago(now - absence.since)} ago; {again}"


def _seen(overview: Overview) -> dict[str, Any] | None:
    """Returns whether a control plane looks after a study, and else since when none is seen; ``None`` where it needs
    none."""
    if overview.progress.state in (*ENDED, OPTUNAS) or overview.suspended:
        return None
    absence = overview.absence
    return {"seen": absence is None, "unseen_since": None if absence is None else absence.since}


def _history(overview: Overview, now: float) -> str:
    """Returns when the study was created, and when it came into its state."""
    created, changed, state = overview.created, overview.changed, overview.progress.state
    if state == OPTUNAS:
        words = "made by Optuna, never run by this program"
        begun = f"; first trial {_since(created, now)}, latest news {_since(changed, now)}"
        return words if created is None else words + begun
    lasts = _since(changed, now) if state in ENDED else f"for {_since(changed, now).removesuffix(' ago')}"
    if state == UNATTENDED:
        return f"created {_since(created, now)}"
    return f"created {_since(created, now)}, {study_word(state)} {lasts}"


def _since(at: float | None, now: float) -> str:
    return NOTHING if at is None else f"{_ago(now - at)} ago"


def _state(overview: Overview) -> Cell:
    state = overview.progress.state
    word = study_word(state)
    if state == OPTUNAS:
        return word, "dim"
    return (f"{word}, flagged", "bold yellow") if overview.flagged else (word, STYLES.get(word, ""))


def _failed(overview: Overview) -> Cell:
    failed = overview.progress.failed
    return str(failed), "red" if failed else ""


def _eta(overview: Overview, now: float) -> str:
    eta = overview.eta(now)
    return NOTHING if eta is None else clock(eta)


def delivery_failure(note: NotificationStatus) -> str:
    """Returns the line about a notification whose delivery failed; empty for one that was delivered or never tried."""
    if note.state == "delivered" or not note.tries:
        return ""
    how = "is tried again" if note.state == "owed" else "failed"
    tries = count(note.tries, "attempt")
    return one_line(f"notification '{note.event}' ({note.kind}) {how} after {tries}: {note.detail}")


def _saved(progress: Progress) -> str:
    if progress.max_steps is None:
        return NOTHING
    return percent(progress.epochs_saved, progress.epochs + progress.epochs_saved)


def trial_count(progress: Progress) -> str:
    """Returns how much of the budget is used up: trials that have ended or, where they are promoted, begun; or epochs,
    where their limit is nearer."""
    if progress.epoch_budget is not None and counts_epochs(progress):
        return f"{progress.epochs}/{progress.epoch_budget} epochs"
    return f"{trials_done(progress)}/{progress.budget}{' begun' if progress.promotes else ''}"


def best_value(progress: Progress) -> str:
    """Returns the best value, or the size of the Pareto front."""
    if progress.front is not None:
        return f"front of {progress.front}"
    return number(progress.best.value) if progress.best else NOTHING


def _leading(overview: Overview) -> str:
    leading = overview.progress.leader
    return NOTHING if leading is None else number(leading.value)


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
    """Returns how fast the study goes, in words; empty where it is too early to tell."""
    trials, epochs = overview.rate, overview.epoch_rate(now)
    begin = " begun" if overview.progress.promotes else ""
    parts = [] if trials is None else [f"{_rate(overview)} trials{begin} an hour"]
    if epochs:
        parts.append(_epochs_per_unit(epochs))
    since = "" if trials is None else f", by the last {count(len(overview.ends), 'trial')}"
    return " and ".join(parts) + since if parts else ""


def _epochs_per_unit(epochs: float) -> str:
    """Returns the rate in the shortest unit of time in which at least one epoch is trained."""
    units = ((1, "a second"), (60, "a minute"), (_HOUR, "an hour"), (24 * _HOUR, "a day"))
    seconds, unit = next((each for each in units if epochs * each[0] >= 1), units[-1])
    return f"{_three_digits(epochs * seconds)} epochs {unit}"


def _ago(seconds: float) -> str:
    """Returns ``20 s``, ``28 min``, ``3 h`` or ``2 days``; clocks of two hosts may differ, so below 0 is 0."""
    seconds = max(0, int(seconds))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < _HOUR:
        return f"{seconds // 60} min"
    return f"{seconds // _HOUR} h" if seconds < 24 * _HOUR else count(seconds // (24 * _HOUR), "day")
