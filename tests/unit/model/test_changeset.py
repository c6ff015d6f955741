"""The changeset: changed through its methods alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

import orchestrator
from orchestrator.model import changeset
from orchestrator.model.changeset import Changes, CheckpointRow, TrialEnd

FIELDS = {each.name for each in fields(Changes)}
ROOT = Path(orchestrator.__file__).parent
MODULES = sorted(path for path in ROOT.rglob("*.py") if path != Path(changeset.__file__))
CHANGING = {"add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "setdefault", "update"}


def test_nothing_outside_writes_its_fields() -> None:
    written = {f"{path.relative_to(ROOT)}:{line}" for path in MODULES for line in writes(path.read_text())}
    assert not written


@pytest.mark.parametrize(
    "code",
    [
        "self.storage.changes.values.append(row)",
        "changes.ends[3] = end",
        "batch.changes.notes += rows",
        "self._changes.study_state = state",
        "del changes.records[key]",
        "changes.study_state: object = state",
    ],
)
def test_such_a_write_is_found(code: str) -> None:
    assert list(writes(code)) == [1]


def test_reading_is_not_writing() -> None:
    assert not list(writes("rows = [end for end in batch.changes.ends.values()] + list(changes.values)"))


def writes(code: str) -> Iterator[int]:
    """Yields the lines that change a field of something called ``changes``."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGING:
            changed: list[ast.expr] = [node.func.value]
        elif isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            changed = [node]
        else:
            continue
        for each in changed:
            field = each.value if isinstance(each, ast.Subscript) else each
            if isinstance(field, ast.Attribute) and field.attr in FIELDS and names_a_changeset(field.value):
                yield node.lineno


def names_a_changeset(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name.strip("_") == "changes"


def test_it_is_empty_until_something_is_changed() -> None:
    changes = Changes()
    assert not changes
    changes.set_study_state("running", "", 1.0)
    assert changes


def test_what_is_changed_is_there_to_be_written() -> None:
    changes = Changes()
    changes.add_trial(0, 1.0, waits=False)
    changes.add_trial(1, 1.0, waits=True)
    changes.end_trial(0, "COMPLETE", [1], 2.0)
    row = CheckpointRow(0, 1, "somewhere", "digest", 10, 1.0)
    changes.add_checkpoint(row)
    changes.discard_checkpoint(row)
    assert (changes.new_trials, changes.enqueued) == ({0: 1.0, 1: 1.0}, {1})
    assert changes.ends == {0: TrialEnd("COMPLETE", (1.0,), 2.0)}
    assert (changes.checkpoints, changes.discarded) == ([row], [(0, "somewhere")])
