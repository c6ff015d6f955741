"""The best trials of a study as text, and as plain data."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich import filesize
from rich.console import Group, RenderableType
from rich.text import Text

from orchestrator.common.formatting import numbers, one_line
from orchestrator.common.json_text import plain
from orchestrator.common.parameter_text import value_text
from orchestrator.queries.best_trials import BestTrial

MOST = 10
"""Trials of a Pareto front that are shown to a person."""


def render(trials: Sequence[BestTrial]) -> RenderableType:
    """Returns the best trials, each with its parameters and its model, and the first one's command line."""
    parts: list[RenderableType] = []
    if len(trials) > 1:
        parts += [Text(f"{len(trials)} trials on the Pareto front, of {', '.join(trials[0].directions)}"), Text()]
    for trial in trials[:MOST]:
        parts += [*_lines(trial), *([Text()] if len(trials) > 1 else [])]
    if len(trials) > MOST:
        parts.append(Text(f"and {len(trials) - MOST} more; --json shows them all", style="dim"))
    if trials[0].command:
        parts.append(_whole(f"its command: {trials[0].command}"))
    return Group(*parts)


def to_json(trial: BestTrial) -> dict[str, Any]:
    """Returns a best trial as plain data."""
    data: dict[str, Any] = plain(
        {
            "study": trial.study,
            "number": trial.number,
            "values": list(trial.values),
            "directions": list(trial.directions),
            "complete": trial.step is None,
            "step": trial.step,
            "params": dict(trial.params),
            "user_attrs": dict(trial.user_attrs),
            "models": [asdict(each) for each in trial.models],
        }
    )
    return data


def _lines(trial: BestTrial) -> list[Text]:
    head = f"trial {trial.number}"
    if trial.step is not None:
        leads = f" leads with {numbers(trial.values)} at step {trial.step}; no trial has completed yet"
        lines = [Text.assemble((head, "bold"), leads)]
    else:
        lines = [Text.assemble((head, "bold"), f" with {numbers(trial.values)}")]
    widest = max((len(one_line(name)) for name in trial.params), default=0)
    lines += [
        _whole(f"  {one_line(name).ljust(widest)}  {one_line(value_text(value))}")
        for name, value in trial.params.items()
    ]
    if not trial.params:
        lines.append(Text("  no parameters", style="dim"))
    for each in trial.models[-1:]:
        get = f"orchestrator models get {shlex.quote(trial.study)} {trial.number}"
        lines.append(_whole(f"  {one_line(f'model {each.filename}, {filesize.decimal(each.size)}: {get}')}"))
    return lines


def _whole(line: str) -> Text:
    """Returns a line that the terminal breaks where it is too long: a part of a number would be another one."""
    return Text(line, no_wrap=True, overflow="ignore")
