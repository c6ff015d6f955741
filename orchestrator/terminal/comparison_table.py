"""A comparison of studies as a table with a column for each, and as plain data."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from orchestrator.common.formatting import NOTHING, count, duration, listed, number, one_line, param, percent
from orchestrator.common.json_text import plain
from orchestrator.model.state_words import study_word
from orchestrator.queries.comparison import ComparedStudy, Comparison
from orchestrator.terminal.best_view import to_json as best_to_json
from orchestrator.terminal.overview import best_value, trial_count
from orchestrator.terminal.table_layout import Column, lay_out

_SHORTEST = 10
_LONGEST_VALUE = 60


def render(found: Comparison, width: int) -> RenderableType:
    """Returns the comparison in lines of at most ``width`` cells."""
    studies = found.studies
    rows: list[tuple[str, list[str]]] = []

    def row(head: str, cell: Callable[[ComparedStudy], str]) -> None:
        rows.append((head, [one_line(cell(each)) for each in studies]))

    row("state", lambda each: study_word(each.overview.progress.state))
    row("trials", lambda each: trial_count(each.overview.progress))
    row("complete, pruned, failed", _ends)
    row("best", lambda each: best_value(each.overview.progress))
    row("best trial", lambda each: str(each.best[0].number) if len(each.best) == 1 else NOTHING)
    row("epochs trained", lambda each: str(each.epochs))
    row("saved by pruning", _saved)
    row("slot time", lambda each: NOTHING if each.cost is None else duration(each.cost.slot_seconds))
    row("from start to end", _wall)
    row(
        "lost attempts, epochs again",
        lambda each: NOTHING if each.cost is None else f"{each.cost.lost}, {each.cost.redone}",
    )
    lines = _table("", rows, studies, width)
    if found.alike and found.marks:
        curves = [(count(mark, "epoch"), [number(each.best_after(mark)) for each in studies]) for mark in found.marks]
        lines += [Text(), *_table("best after", curves, studies, width)]
    settings = [(one_line(key), [_value(value) for value in values]) for key, values in found.differences.items()]
    if settings:
        lines += [Text(), *_table("spec", settings, studies, width)]
    if said := _on_specs(studies, alike=not settings):
        lines += [Text(), Text(said, style="dim")]
    best = [
        (one_line(name), [_param(each, name) for each in studies])
        for name in dict.fromkeys(name for each in studies for trial in each.best[:1] for name in trial.params)
    ]
    if best and all(len(each.best) <= 1 for each in studies):
        lines += [Text(), *_table("best parameters", best, studies, width)]
    if not found.alike:
        directions = "; ".join(f"{one_line(each.name)} {', '.join(each.directions)}" for each in studies)
        lines += [Text(), Text(f"their best values cannot be compared: {directions}", style="yellow")]
    return Group(*lines)


def _on_specs(studies: Sequence[ComparedStudy], *, alike: bool) -> str:
    """Returns remarks about the specs that stand beside their differences."""
    without = [one_line(each.name) for each in studies if not each.spec]
    if without:
        whose = f"{listed(without)}: made by Optuna, without a spec here"
        return f"{whose}; sampler, rule, budget and search space of such a study cannot be compared"
    return "their specs are alike" if alike else ""


def to_json(found: Comparison) -> dict[str, Any]:
    """Returns the comparison as plain data; times in seconds."""
    data: dict[str, Any] = plain(
        {
            "studies": [
                {
                    "study": each.name,
                    "state": each.overview.progress.state,
                    "has_spec": bool(each.spec),
                    "directions": list(each.directions),
                    "complete": each.overview.progress.complete,
                    "pruned": each.overview.progress.pruned,
                    "failed": each.overview.progress.failed,
                    "epochs": each.epochs,
                    "epochs_saved": each.overview.progress.epochs_saved,
                    "best": [best_to_json(trial) for trial in each.best],
                    "curve": [{"epochs": at, "best": value} for at, value in each.curve],
                    "cost": None if each.cost is None else asdict(each.cost),
                }
                for each in found.studies
            ],
            "differences": dict(found.differences),
            "comparable": found.alike,
        }
    )
    return data


def _table(
    title: str, rows: Sequence[tuple[str, Sequence[str]]], studies: Sequence[ComparedStudy], width: int
) -> list[Text]:
    columns = [
        Column.of(title, rows, lambda each: (each[0], "dim"), least=_SHORTEST),
        *(Column.of(one_line(study.name), rows, _cell(place), least=_SHORTEST) for place, study in enumerate(studies)),
    ]
    return lay_out(columns, width)[0]


def _cell(place: int) -> Callable[[tuple[str, Sequence[str]]], str]:
    return lambda row: row[1][place]


def _ends(study: ComparedStudy) -> str:
    progress = study.overview.progress
    return f"{progress.complete}, {progress.pruned}, {progress.failed}"


def _saved(study: ComparedStudy) -> str:
    progress = study.overview.progress
    if progress.max_steps is None:
        return NOTHING
    return f"{progress.epochs_saved} ({percent(progress.epochs_saved, progress.epochs + progress.epochs_saved)})"


def _wall(study: ComparedStudy) -> str:
    seconds = None if study.cost is None else study.cost.wall_seconds
    return NOTHING if seconds is None else duration(seconds)


def _value(value: Any) -> str:
    if value is None:
        return NOTHING
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return one_line(text)[:_LONGEST_VALUE]


def _param(study: ComparedStudy, name: str) -> str:
    trial = study.best[0] if study.best else None
    if trial is None or name not in trial.params:
        return NOTHING
    return param(trial.params[name])
