"""Workers and their slots as a table, and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.text import Text

from orchestrator.common.advice import how_to
from orchestrator.common.formatting import NOTHING, count, duration, one_line
from orchestrator.model.fleet import FleetSlot, FleetWorker
from orchestrator.terminal.table_layout import Cell, Column, lay_out, no_room

_STYLES = {"silent": "red", "draining": "yellow", "in trouble": "red"}
_SHORTEST = 12


class _Line(NamedTuple):
    worker: FleetWorker
    slot: FleetSlot | None
    first: bool


def render(workers: Sequence[FleetWorker], width: int) -> RenderableType:
    """Returns a line for each slot, and for each worker without a slot that was heard; at most ``width`` cells long."""
    if not workers:
        return Text(f"no worker answers; '{how_to('doctor')}' says why")
    lines = [_Line(each, slot, not at) for each in workers for at, slot in enumerate(each.slots or (None,))]
    columns = [
        Column.of("worker", lines, lambda each: (_once(each, each.worker.name), "bold"), least=_SHORTEST),
        Column.of("state", lines, _state),
        Column.of("slots", lines, lambda each: _once(each, _capacity(each.worker)), right=True, rank=2),
        Column.of("queues", lines, lambda each: _once(each, ", ".join(each.worker.queues)), rank=3),
        Column.of(
            "slot", lines, lambda each: NOTHING if each.slot is None else each.slot.name.rpartition("/")[2], rank=2
        ),
        Column.of("device", lines, lambda each: NOTHING if each.slot is None else one_line(each.slot.device), rank=3),
        Column.of("trains", lines, _trains, least=_SHORTEST),
        Column.of("heartbeat", lines, _heartbeat, right=True, rank=1),
    ]
    found, left_out = lay_out(columns, width)
    slots = [slot for each in workers for slot in each.slots]
    said = [f"{count(len(workers), 'worker')}, {sum(each.busy for each in slots)} of {len(slots)} slots busy"]
    said += sorted({f"{each.host}: {slot.trouble}" for each in workers for slot in each.slots if slot.trouble})
    if left_out:
        said.append(no_room(left_out))
    return Group(*found, Text(), *(Text(line, style="dim") for line in said))


def to_json(worker: FleetWorker) -> dict[str, Any]:
    """Returns a worker as plain data; times in seconds."""
    return asdict(worker) | {"state": worker.state, "heard": worker.heard}


def _once(line: _Line, text: str) -> str:
    return one_line(text) if line.first else ""


def _state(line: _Line) -> Cell:
    return (line.worker.state, _STYLES.get(line.worker.state, "")) if line.first else ("", "")


def _capacity(worker: FleetWorker) -> str:
    return NOTHING if worker.capacity is None else str(worker.capacity)


def _trains(line: _Line) -> str:
    slot = line.slot
    if slot is None:
        return NOTHING
    if slot.study:
        return f"{one_line(slot.study)} {slot.trial}"
    return "an unknown trial" if slot.busy else "idle"


def _heartbeat(line: _Line) -> str:
    heard = None if line.slot is None else line.slot.heard
    return "none heard" if heard is None else f"{duration(heard)} ago"
