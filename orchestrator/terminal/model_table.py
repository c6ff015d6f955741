"""Stored models as a table, and as plain data."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich import filesize
from rich.console import Group, RenderableType
from rich.text import Text

from orchestrator.common.formatting import one_line
from orchestrator.queries.stored_models import StoredModel
from orchestrator.terminal.table_layout import Cell, Column, lay_out, no_room

_SHORTEST_NAME = 12


def render(models: Sequence[StoredModel], reached: Collection[str], where: str, width: int) -> RenderableType:
    """Returns a table of models in lines of at most ``width`` cells.

    Args:
        models: In their order.
        reached: Ids of those whose files are in the store.
        where: The store.
        width: Of the terminal.
    """
    if not models:
        return Text("no models")

    def here(each: StoredModel) -> Cell:
        return ("yes", "") if each.artifact_id in reached else ("no", "yellow")

    columns = [
        Column.of("study", models, lambda each: (one_line(each.study), "bold"), least=_SHORTEST_NAME),
        Column.of("trial", models, lambda each: str(each.trial), right=True),
        Column.of("model", models, lambda each: one_line(each.filename), least=_SHORTEST_NAME),
        Column.of("size", models, lambda each: filesize.decimal(each.size), right=True, rank=1),
        Column.of("reached", models, here),
        Column.of("stored", models, _stored, rank=2),
        Column.of("file", models, lambda each: one_line(each.artifact_id), rank=3),
    ]
    lines, left_out = lay_out(columns, width)
    away = sum(each.artifact_id not in reached for each in models)
    said = [f"the store: {where}"]
    if away:
        said.append(f"{away} of {len(models)} are not reached from this host")
    if left_out:
        said.append(no_room(left_out))
    return Group(*lines, Text(), *(Text(line, style="dim") for line in said))


def to_json(model: StoredModel, reached: Collection[str], location: str) -> dict[str, Any]:
    """Returns a model as plain data."""
    return asdict(model) | {"location": location, "reached": model.artifact_id in reached}


def _stored(model: StoredModel) -> str:
    return f"{datetime.fromtimestamp(model.at).astimezone():%Y-%m-%d %H:%M}"
