"""What is asked about a study while a `run` of another one works in the data folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from leased_store import LeasedStore

from orchestrator import BadInput, connect
from orchestrator.common.file_lock import data_lock, name_study


def test_a_run_is_no_control_plane_of_a_study_that_it_does_not_work_on(leased: LeasedStore, tmp_path: Path) -> None:
    leased.create()
    refused = "no `run` in .* works on it"
    with data_lock(tmp_path), connect(storage_url=leased.database.url, data_dir=tmp_path) as fleet:
        name_study(tmp_path, "another")
        handle = fleet.handle("study")
        for steer in (handle.pause, handle.stop):
            with pytest.raises(BadInput, match=refused):
                steer()
        assert handle.enqueue({"x": 1.0}).number is None
        with pytest.raises(BadInput, match=refused):
            list(handle.events())
