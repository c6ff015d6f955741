"""What is asked about a study that no control plane looks after, such as beside the `run` of another one."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from leased_store import LeasedStore

from orchestrator import BadInput, connect
from orchestrator.common.file_lock import data_lock, name_study


def test_a_run_is_no_control_plane_of_a_study_that_it_does_not_work_on(leased: LeasedStore, tmp_path: Path) -> None:
    leased.create()
    with data_lock(tmp_path), connect(storage_url=leased.database.url, data_dir=tmp_path) as fleet:
        name_study(tmp_path, "another")
        handle = fleet.handle("study")
        assert handle.enqueue({"x": 1.0}).number is None
        with pytest.raises(BadInput, match=r"no `run` in .* works on it"):
            list(handle.events())
        assert (handle.pause(), handle.stop()) == ("paused", "stopped")


@pytest.mark.parametrize("redis_url", [None, "redis://127.0.0.1:1/0"])
def test_a_study_of_a_fleet_is_not_told_to_be_run(
    redis_url: str | None, leased: LeasedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    leased.create()
    leased.lease.release()
    if redis_url is not None:
        monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", redis_url)
    with connect(storage_url=leased.database.url) as fleet:
        absence = fleet.handle("study").status().overview.absence
    assert absence is not None
    assert absence.alone == (redis_url is None and leased.database.url.startswith("sqlite"))


def unseen_since(url: str, folder: Path) -> float | None:
    with connect(storage_url=url, data_dir=folder) as fleet:
        absence = fleet.handle("study").status().overview.absence
    assert absence is not None
    return absence.since


def test_since_when_none_is_seen_counts_neither_commands_nor_the_run_of_another_study(
    sqlite: str, tmp_path: Path
) -> None:
    with closing(LeasedStore(sqlite)) as leased:
        for name in ("study", "other"):
            leased.create(name=name)
        leased.lease.release()
        since = unseen_since(sqlite, tmp_path)
        with connect(storage_url=sqlite, data_dir=tmp_path) as fleet:
            fleet.handle("other").pause()
            fleet.handle("other").stop()
        assert unseen_since(sqlite, tmp_path) == since is not None
        # The last run in the folder has looked after the other one alone.
        name_study(tmp_path, "other")
        assert unseen_since(sqlite, tmp_path) is None
        name_study(tmp_path, "study", beside=True)
        assert unseen_since(sqlite, tmp_path) == since
