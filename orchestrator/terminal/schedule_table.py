"""Schedules and their runs, as text and as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from orchestrator.common.formatting import NOTHING, count, duration, number, one_line
from orchestrator.common.json_text import plain
from orchestrator.model.state_words import study_word
from orchestrator.model.study_status import Overview
from orchestrator.spec.load import printable
from orchestrator.terminal.live_frame import STYLES
from orchestrator.terminal.overview import best_value, trial_count
from orchestrator.terminal.table_layout import Cell, Column, lay_out, no_room

if TYPE_CHECKING:
    from orchestrator.model.planned_run import PlannedRun
    from orchestrator.schedule.schedule_status import ScheduleStatus
    from orchestrator.spec.schedule import ScheduleTable

_SHORTEST_NOTE = 12
_STYLES = {"missed": "yellow", "skipped": "yellow", "refused": "red", "waiting": "dim", "deleted": "dim"}


def describe(table: ScheduleTable, now: float) -> str:
    """Returns a timetable in one line; ``now`` in seconds since the epoch."""
    following = next(table.timetable.upcoming(int(now)), None)
    begins = "never again" if following is None else f"next {_moment(table, following)}"
    return f"schedule {table.cron} in {table.timezone}, {begins}"


def render(schedules: Sequence[ScheduleStatus], problems: Mapping[Path, str], width: int, now: float) -> RenderableType:
    """Returns the schedules of a folder and their runs; ``now`` in seconds since the epoch.

    Tables of runs are at most ``width`` cells wide.
    """
    lines: list[Text] = []
    for each in schedules:
        lines += [_head(each), *_times(each, now), *_trend(each)]
        if each.runs:
            lines += [Text("  ").append_text(line) for line in _runs(each.runs, width - 2)]
        lines.append(Text())
    lines += [Text(f"not run: {one_line(problem)}", style="red") for problem in problems.values()]
    return Group(*lines) if lines else Text("no spec there has a [schedule]")


def to_json(schedules: Sequence[ScheduleStatus], problems: Mapping[Path, str]) -> dict[str, Any]:
    """Returns everything that is known, as plain data; moments in seconds since the epoch."""
    data: dict[str, Any] = plain(
        {
            "schedules": [_to_json(each) for each in schedules],
            "problems": [{"file": str(path), "problem": problem} for path, problem in problems.items()],
        }
    )
    return data


def _to_json(each: ScheduleStatus) -> dict[str, Any]:
    table = each.schedule.table
    return {
        "name": each.schedule.name,
        "file": str(each.schedule.path),
        "cron": table.cron,
        "timezone": table.timezone,
        "next": [_both(table, slot) for slot in each.upcoming],
        "overdue": [_both(table, slot) for slot in each.overdue],
        "seen": each.seen,
        "runs": [_run_to_json(table, slot, overview) for slot, overview in each.runs],
    }


def _both(table: ScheduleTable, moment: int) -> dict[str, Any]:
    utc = datetime.fromtimestamp(moment, UTC)
    here = datetime.fromtimestamp(moment).astimezone().isoformat()
    local = table.timetable.local(moment).isoformat()
    return {"at": moment, "utc": f"{utc:%Y-%m-%dT%H:%M:%SZ}", "local": local, "here": here}


def _run_to_json(table: ScheduleTable, slot: PlannedRun, overview: Overview | None) -> dict[str, Any]:
    best = None if overview is None else overview.progress.best
    result = slot.result if overview is None else None
    known: dict[str, Any] | None = None if best is None else {"number": best.number, "value": best.value}
    if result is not None and result.best is not None:
        known = {"number": result.best_trial, "value": result.best}
    return {
        "study": slot.study,
        "planned": _both(table, slot.planned),
        "slot": slot.state,
        "by_hand": slot.manual,
        "reason": slot.reason,
        "state": None if overview is None else overview.progress.state,
        "trials": overview.ended if overview is not None else None if result is None else result.ended,
        "best": known,
        "result": None if slot.result is None else slot.result._asdict(),
        "flagged": (overview.flagged if overview else "") or None,
        "report": slot.report or None,
    }


def _head(each: ScheduleStatus) -> Text:
    table = each.schedule.table
    text = Text(each.schedule.name, style="bold")
    return text.append(f"  {table.cron} in {table.timezone}  {printable(each.schedule.path)}", style="not bold")


def _times(each: ScheduleStatus, now: float) -> list[Text]:
    table = each.schedule.table
    later = f", or up to {duration(table.jitter)} later" if table.jitter else ""
    moments = [f"{_moment(table, slot)}{_here(table, slot)}{later}" for slot in each.upcoming] or ["never again"]
    lines = [Text(f"  {head:<7}  {moment}") for head, moment in zip_longest(["next"], moments, fillvalue="")]
    if each.overdue:
        first, late = each.overdue[0], now - each.overdue[0]
        words = f"{count(len(each.overdue), 'run')} since {_moment(table, first)}, {duration(late)} ago"
        lines.append(Text(f"  overdue  {words}: do 'orchestrator beat' and 'serve' run?", style="red"))
    elif not each.seen:
        lines.append(Text("  note     no beat has looked at this timetable yet", style="yellow"))
    return lines


def _runs(runs: Sequence[tuple[PlannedRun, Overview | None]], width: int) -> list[Text]:
    notes = [_note(slot, overview) for slot, overview in runs]
    columns = [
        Column.of("run", runs, lambda run: one_line(run[0].study)),
        Column.of("state", runs, lambda run: _state(*run)),
        Column.of("trials", runs, lambda run: _trials(*run), right=True, rank=3),
        Column.of("best", runs, lambda run: _best(*run), right=True, rank=2),
        Column("note", notes, rank=1, least=_SHORTEST_NOTE),
    ]
    lines, left_out = lay_out(columns if any(text for text, _ in notes) else columns[:-1], width)
    return lines + ([Text(no_room(left_out), style="dim")] if left_out else [])


def _trials(slot: PlannedRun, overview: Overview | None) -> str:
    if overview is not None:
        return trial_count(overview.progress)
    return NOTHING if slot.result is None else str(slot.result.ended)


def _best(slot: PlannedRun, overview: Overview | None) -> str:
    if overview is not None:
        return best_value(overview.progress)
    if slot.result is None:
        return NOTHING
    return f"front of {slot.result.front}" if slot.result.front is not None else number(slot.result.best)


def _trend(each: ScheduleStatus) -> list[Text]:
    """Returns how the best values went from run to run, the oldest first; nothing where there are fewer than two."""
    bests = [value for slot, overview in reversed(each.trend) if (value := _best(slot, overview)) not in (NOTHING, "")]
    return [Text(f"  trend    {' → '.join(bests)}")] if len(bests) > 1 else []


def _state(slot: PlannedRun, overview: Overview | None) -> Cell:
    state = slot.state if overview is None or slot.state == "deleting" else overview.progress.state
    if overview is not None and overview.flagged:
        return f"{state}, flagged", "bold yellow"
    word = study_word(state)
    return word, STYLES.get(state, _STYLES.get(state, ""))


def _note(slot: PlannedRun, overview: Overview | None) -> Cell:
    flagged = "" if overview is None else overview.flagged
    said = [flagged, slot.reason, "by hand" if slot.manual else "", f"report {slot.report}" if slot.report else ""]
    return "; ".join(one_line(each) for each in said if each), "yellow" if flagged else ""


def _here(table: ScheduleTable, moment: int) -> str:
    """Returns the moment in this host's zone, where that has another time than the spec's."""
    theirs, here = table.timetable.local(moment), datetime.fromtimestamp(moment).astimezone()
    if here.utcoffset() == theirs.utcoffset():
        return ""
    return f", here {here:%a %H:%M %Z}" if here.date() == theirs.date() else f", here {here:%a %Y-%m-%d %H:%M %Z}"


def _moment(table: ScheduleTable, moment: int) -> str:
    local, utc = table.timetable.local(moment), datetime.fromtimestamp(moment, UTC)
    return f"{local:%a %Y-%m-%d %H:%M %Z} ({utc:%Y-%m-%dT%H:%M:%SZ})"
