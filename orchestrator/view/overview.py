"""Where studies stand, as text: a line for each, or one of them in full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.notices import Progress
from orchestrator.overview import Overview
from orchestrator.view.frame import STYLES, head, slot_table
from orchestrator.view.state import ENDED, SlotView
from orchestrator.view.summary import plain
from orchestrator.view.words import NOTHING, clock, count, duration, number, one_line, percent

_HOUR = 3600


def render_list(overviews: Sequence[Overview], now: float) -> RenderableType:
    """Returns a table of studies; ``now`` in seconds since the epoch."""
    if not overviews:
        return Text("no studies yet")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("study", overflow="fold")
    table.add_column("state")
    for name in ("trials", "pruned", "failed", "epochs", "saved", "best", "trials/h", "ETA", "changed"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in overviews:
        progress, eta = each.progress, each.eta(now)
        table.add_row(
            Text(one_line(progress.study), style="bold"),
            Text(progress.state, style=STYLES.get(progress.state, "")),
            f"{each.ended}/{progress.budget}",
            str(progress.pruned),
            Text(str(progress.failed), style="red" if progress.failed else ""),
            str(progress.epochs),
            _saved(progress),
            _best(progress),
            _rate(each),
            NOTHING if eta is None else clock(eta),
            f"{_ago(now - each.changed)} ago",
        )
    return table


def render_status(overview: Overview, width: int, now: float) -> RenderableType:
    """Returns one study in full, in lines of at most ``width`` cells; ``now`` in seconds since the epoch."""
    progress, eta = overview.progress, overview.eta(now)
    parts: list[RenderableType] = [*head(progress, "" if eta is None else f"ETA {clock(eta)}", width)]
    if overview.rate is not None and progress.state not in ENDED:
        parts.append(Text(f"{_rate(overview)} trials an hour, by the last {count(len(overview.ends), 'trial')}"))
    made, changed = (_ago(now - at) for at in (overview.created, overview.changed))
    parts.append(Text(f"created {made} ago, {progress.state} for {changed}", style="dim"))
    if progress.slots:
        slots = [SlotView(line) for line in progress.slots]
        parts += [Text(""), slot_table(slots, len(slots), progress, 0.0, width)]
    return Group(*parts)


def to_json(overview: Overview, now: float) -> dict[str, Any]:
    """Returns everything that is known, as plain data; times in seconds, moments since the epoch."""
    progress = {key: value for key, value in msgspec.to_builtins(overview.progress).items() if key != "type"}
    data: dict[str, Any] = plain(progress)
    return data | {
        "created": overview.created,
        "changed": overview.changed,
        "trials_per_hour": None if overview.rate is None else round(overview.rate * _HOUR, 3),
        "eta_s": overview.eta(now),
    }


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
    hourly = overview.rate * _HOUR
    return f"{hourly:.3g}" if hourly < 100 else f"{hourly:.0f}"


def _ago(seconds: float) -> str:
    """Clocks of two hosts may differ; nothing lies in the future."""
    days, rest = divmod(max(0.0, seconds), 24 * _HOUR)
    if days:
        return count(int(days), "day")
    return duration(rest) if rest < _HOUR else f"{int(rest // _HOUR)}h"
