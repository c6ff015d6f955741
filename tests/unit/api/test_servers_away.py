"""What follows a study outlasts an outage of its database, and says so in the end."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest

from orchestrator import Fleet, ServerTrouble, StudyHandle, connect
from orchestrator.api import access
from orchestrator.common import patience
from orchestrator.common.errors import NotReached
from tests import prepared_databases

BUSY = sqlite3.OperationalError("database is locked")
BUSY.sqlite_errorcode = sqlite3.SQLITE_BUSY


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    url = prepared_databases.sqlite(tmp_path / "studies.db")
    storage = optuna.storages.RDBStorage(url)
    optuna.create_study(study_name="one", storage=storage)
    storage.remove_session()
    storage.engine.dispose()
    with connect(storage_url=url) as found:
        yield found


@pytest.fixture
def outage(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[int]]:
    """Returns what lets the next openings of the database fail; the list counts them."""

    def begin(openings: int) -> list[int]:
        monkeypatch.setattr(patience, "AWAY_SECONDS", 0.0)
        opened, original = [0], access.open_reader

        @contextmanager
        def open_reader(settings: Any) -> Iterator[Any]:
            opened[0] += 1
            with access.server_errors_in_words():
                if opened[0] <= openings:
                    raise BUSY
            with original(settings) as reader:
                yield reader

        monkeypatch.setattr(access, "open_reader", open_reader)
        return opened

    return begin


def test_a_wait_goes_on_when_the_database_is_back(fleet: Fleet, outage: Callable[[int], list[int]]) -> None:
    opened = outage(5)
    with pytest.raises(TimeoutError, match="study 'one' has not ended in 0 s: its database does not answer"):
        fleet.handle("one").wait(timeout=0.0)
    assert opened == [1], "its time counts during the outage"


def test_a_wait_that_has_time_outlasts_it(fleet: Fleet, outage: Callable[[int], list[int]]) -> None:
    opened = outage(5)
    with pytest.raises(TimeoutError, match="it is optuna"):
        fleet.handle("one").wait(timeout=1.0)
    assert opened[0] > 5


def test_an_outage_that_lasts_ends_a_wait(
    fleet: Fleet, outage: Callable[[int], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "OUTAGE_SECONDS", 0.0)
    outage(10**9)
    with pytest.raises(ServerTrouble, match=r"the database is not available now: database is locked; .* tried for 0 s"):
        fleet.handle("one").wait()


def test_a_server_that_never_answered_is_wrongly_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "AWAY_SECONDS", 0.0)
    tries = 0

    def ask() -> None:
        nonlocal tries
        tries += 1
        raise NotReached("redis://x", "cannot be reached")

    with pytest.raises(NotReached):
        access.patience()(ask)
    assert tries == patience.FIRST_TRIES


def test_two_threads_use_one_handle(fleet: Fleet) -> None:
    handle, found = fleet["one"], []

    def use() -> None:
        found.append((handle.state, len(handle.study.trials)))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found == [("optuna", 0)] * 4


def test_a_fork_uses_a_handle_and_ends_without_harm(fleet: Fleet) -> None:
    handle = fleet["one"]
    study = handle.study
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            handle.study.set_user_attr("by", "fork")
            fleet.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert study.user_attrs == {"by": "fork"}
    assert isinstance(handle, StudyHandle)
