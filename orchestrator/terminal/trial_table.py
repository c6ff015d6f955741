"""The trials of a study as a table, and each as plain data."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, Final

from rich.text import Text

from orchestrator.common.formatting import NOTHING, aligned, count, cut, duration, is_apart, number, one_line, params
from orchestrator.common.json_text import plain
from orchestrator.engine.explanations import describe_end, end_note
from orchestrator.model.attribute_keys import RETRY_OF
from orchestrator.model.measurements import MEASUREMENTS, Measurement
from orchestrator.model.records import EnqueuedTrial, ListedTrial
from orchestrator.model.state_words import trial_word
from orchestrator.queries.trial_selection import standing
from orchestrator.terminal.live_frame import STYLES, short_names
from orchestrator.terminal.table_layout import Cell, Column, lay_out, no_room

MARK: Final = "*"
MOST_STORED: Final = 10
_LONGEST_NAME: Final = 20
_LONGEST_VALUE: Final = 24
_SHORTEST_NOTE: Final = 16


def render(
    trials: Sequence[ListedTrial], best: Collection[int], objectives: int, width: int, now: datetime
) -> tuple[list[Text], list[str]]:
    """Returns the lines of the table, and the names of the columns that have no room in it.

    Args:
        trials: In their order.
        best: Numbers of those that are marked.
        objectives: Values that a trial has.
        width: Of the terminal.
        now: UTC.
    """
    several = any(trial.head.attempts > 1 for trial in trials)
    slots = sorted({trial.last.slot for trial in trials if trial.last is not None and trial.last.slot})
    short = short_names(slots) if slots else {}
    apart = any(_is_apart(trial, now) for trial in trials)

    def column(head: str, cell: Callable[[ListedTrial], Cell | str], rank: int, **more: Any) -> Column:
        return Column.of(head, trials, cell, rank=rank, **more)

    columns = [
        column("trial", lambda each: _number(each, best), 0, right=True),
        column("state", _state, 0),
        *(
            column("value" if objectives == 1 else f"value {index}", _value_of(index, objectives), 0, right=True)
            for index in range(objectives)
        ),
        column("epochs", lambda each: str(each.head.epochs), 1, right=True),
        column("step", lambda each: NOTHING if each.last_step is None else str(each.last_step), 6, right=True),
        column("time", lambda each: _time(each, now), 1, right=True),
        *([column("passed", lambda each: _passed(each, now), 4, right=True)] if apart else []),
        column("tries", lambda each: str(each.head.attempts), 2 if several else 5, right=True),
        column("slot", lambda each: short.get(each.last.slot, NOTHING) if each.last else NOTHING, 5),
        *(
            column(each.title, _measured(each), 6, right=True)
            for each in MEASUREMENTS
            if any(each.name in trial.measured for trial in trials)
        ),
        column("note", _note, 3, least=_SHORTEST_NOTE),
    ]
    names = dict.fromkeys(name for trial in trials for name in trial.params)
    columns += [_parameter(name, trials) for name in names]
    return lay_out(columns, width)


def remarks(shown: int, among: int, newest: bool, marked: int, objectives: int, left_out: Sequence[str]) -> list[Text]:
    """Returns the remarks below the table, a line each.

    Args:
        shown: Trials in the table.
        among: Trials that it could have shown.
        newest: Whether these are the newest ones; the first ones of the order otherwise.
        marked: Trials in the table that are marked.
        objectives: Values that a trial has.
        left_out: Columns for which there is no room.
    """
    lines = []
    if marked:
        lines.append(f"{MARK} the best trial" if objectives == 1 else f"{MARK} on the Pareto front")
    if shown < among:
        which = "newest" if newest else "first"
        lines.append(f"the {which} {shown} of {count(among, 'trial')}; --limit 0 shows them all")
    if left_out:
        lines.append(no_room(left_out))
    return [Text(line, style="dim") for line in lines]


def enqueued_lines(enqueued: Sequence[EnqueuedTrial]) -> list[Text]:
    """Returns a line for each of the first trials that were enqueued while no control plane runs."""
    lines = [f"WAITING  enqueued {_wanted(each)}; it gets its number when the study goes on" for each in enqueued]
    more = len(lines) - MOST_STORED
    return [Text(line) for line in [*lines[:MOST_STORED], *([f"… and {more} more that wait"] if more > 0 else [])]]


def enqueued_to_json(trial: EnqueuedTrial) -> dict[str, Any]:
    """Returns such a trial as plain data, by the keys of ``to_json``; it has no number, and nothing of it has begun."""
    data: dict[str, Any] = plain(
        {
            "number": None,
            "state": "WAITING",
            "standing": "waiting",
            "best": False,
            "value": None,
            "values": (),
            "params": dict(trial.params or {}),
            "epochs": 0,
            "attempts": 0,
            "retry_of": trial.retry_of,
            "user_attrs": dict(trial.user_attrs),
        }
    )
    return data


def _wanted(trial: EnqueuedTrial) -> str:
    if trial.retry_of is not None:
        return f"again with the parameters of trial {trial.retry_of}"
    if trial.params is None:
        return "in a command that cannot be read"
    return f"with {'  '.join(params(trial.params))}"


def to_json(trial: ListedTrial, best: Collection[int], now: datetime) -> dict[str, Any]:
    """Returns everything that is known of a trial, as plain data; moments in seconds since the epoch."""
    head, last = trial.head, trial.last
    data: dict[str, Any] = plain(
        {
            "number": head.number,
            "state": head.state,
            "standing": standing(head),
            "best": head.number in best,
            "value": head.values[0] if len(head.values) == 1 else None,
            "values": head.values,
            "feasible": head.feasible,
            "params": trial.params,
            "epochs": head.epochs,
            "epochs_trained_again": trial.redone,
            "last_step": trial.last_step,
            "last_value": trial.last_value,
            "started": None if head.began is None else head.began.timestamp(),
            "ended": None if head.ended is None else head.ended.timestamp(),
            "seconds": head.lasted(now),
            "seconds_on_slot": head.on_slot(now),
            "attempts": head.attempts,
            **{each.name: trial.measured.get(each.name) for each in MEASUREMENTS},
            "host": last.host if last else "",
            "slot": last.slot if last else "",
            "device": last.device if last else "",
            "why": describe_end(trial.user_attrs),
            "retry_of": trial.user_attrs.get(RETRY_OF),
            "user_attrs": trial.user_attrs,
        }
    )
    return data


def _number(trial: ListedTrial, best: Collection[int]) -> Cell:
    if trial.head.number in best:
        return f"{MARK}{trial.head.number}", "bold green"
    return str(trial.head.number), "bold"


def _state(trial: ListedTrial) -> Cell:
    head = trial.head
    name = head.state if head.state != "RUNNING" else trial_word(head.state, head.live, attended=head.attended).upper()
    return name, STYLES.get(name, "")


def _value_of(index: int, objectives: int) -> Callable[[ListedTrial], Cell]:
    def cell(trial: ListedTrial) -> Cell:
        if index < len(trial.head.values):
            return aligned(trial.head.values[index]), ""
        # A report is a value of the only objective; of several objectives it says nothing.
        return (aligned(trial.last_value), "dim") if objectives == 1 else (NOTHING, "dim")

    return cell


def _measured(measurement: Measurement) -> Callable[[ListedTrial], str]:
    def cell(trial: ListedTrial) -> str:
        value = trial.measured.get(measurement.name)
        return NOTHING if value is None else measurement.show(value)

    return cell


def _time(trial: ListedTrial, now: datetime) -> str:
    """Returns for how long it had a slot or, where that is not known, how long it took."""
    seconds = trial.head.on_slot(now)
    seconds = trial.head.lasted(now) if seconds is None else seconds
    return NOTHING if seconds is None else duration(seconds)


def _passed(trial: ListedTrial, now: datetime) -> str:
    seconds = trial.head.lasted(now)
    return NOTHING if seconds is None else duration(seconds)


def _is_apart(trial: ListedTrial, now: datetime) -> bool:
    trained, passed = trial.head.on_slot(now), trial.head.lasted(now)
    return trained is not None and passed is not None and is_apart(trained, passed)


def _note(trial: ListedTrial) -> Cell:
    if trial.head.state == "COMPLETE" and not trial.head.feasible:
        return "violates a constraint", "yellow"
    return one_line(end_note(trial.user_attrs)), "red" if trial.head.state == "FAIL" else "dim"


def _parameter(name: str, trials: Sequence[ListedTrial]) -> Column:
    values = [trial.params[name] for trial in trials if name in trial.params]
    figures = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    cells = [(_shown(trial.params[name]) if name in trial.params else NOTHING, "cyan") for trial in trials]
    return Column(cut(one_line(name), _LONGEST_NAME), cells, right=figures, rank=4)


def _shown(value: Any) -> str:
    return number(value) if isinstance(value, float) else cut(one_line(str(value)), _LONGEST_VALUE)
