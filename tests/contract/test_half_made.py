"""A look at a database whose tables are just being made finds no studies in it, and blames nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import sqlalchemy
from optuna.storages import RDBStorage

from orchestrator.common.errors import BadInput
from orchestrator.queries.readonly import NothingThere, open_study_reader


def test_each_state_on_the_way_is_empty_or_whole(tmp_path: Path) -> None:
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
    keep()

    found = {look(copy) for copy in copies}

    assert found == {"empty", "whole"}
    assert look(copies[-1]) == "whole"


def look(path: Path) -> str:
    try:
        with open_study_reader(f"sqlite:///{path}") as reader:
            assert not reader.overviews()
            return "whole"
    except NothingThere:
        return "empty"
    except BadInput as error:
        return str(error)
