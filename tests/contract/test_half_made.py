"""A look at a database whose tables are just being made waits for them, and blames nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import sqlalchemy
from optuna.storages import RDBStorage

from orchestrator.queries.readonly import NothingThere, open_study_reader
from orchestrator.storage import database


def test_a_look_at_each_state_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, copies = tmp_path / "made.db", list[Path]()

    def keep(*_: object) -> None:
        copies.append(tmp_path / f"{len(copies)}.db")
        if made.exists():
            shutil.copy(made, copies[-1])

    sqlalchemy.event.listen(sqlalchemy.Engine, "after_cursor_execute", keep)
    sqlalchemy.event.listen(sqlalchemy.Engine, "commit", keep)
    try:
        storage = RDBStorage(f"sqlite:///{made}")
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "after_cursor_execute", keep)
        sqlalchemy.event.remove(sqlalchemy.Engine, "commit", keep)
    storage.remove_session()
    storage.engine.dispose()

    found = []
    for copy in copies:
        # What the other process does while the look waits.
        monkeypatch.setattr(database.time, "sleep", lambda _, copy=copy: shutil.copy(made, copy))
        try:
            with open_study_reader(f"sqlite:///{copy}") as reader:
                assert not reader.overviews()
                found.append("whole")
        except NothingThere:
            found.append("empty")

    assert len(set(found)) == 2
    assert found == sorted(found), "first empty, then whole"
