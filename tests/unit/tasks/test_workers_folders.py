"""A worker looks at its data folder before it takes a task: what it makes there may be taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.data_folder import WORKERS_FOLDERS
from tasks.metrics_endpoint import BadSetting
from tasks.worker.main import parse
from tasks.worker.startup_checks import read_config


@pytest.mark.parametrize("name", WORKERS_FOLDERS)
def test_a_folder_whose_name_is_taken(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", "redis://127.0.0.1:1/0")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(BadSetting, match="is not a folder; move it away") as caught:
        read_config(parse(["--data-dir", str(tmp_path)]))
    assert caught.value.variable == str(tmp_path / name)
