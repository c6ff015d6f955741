"""The data folder: created for its owner, refused if it takes no files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from orchestrator.common.errors import BadInput
from orchestrator.common.settings import ensure_data_dir


def test_the_data_folder_is_made_for_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = ensure_data_dir(Path("a/b"))
    assert made == tmp_path.resolve() / "a" / "b"
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert list(made.iterdir()) == []
    (made / "kept").touch()
    assert ensure_data_dir(made) == made
    assert (made / "kept").exists()


def test_no_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    broken = tmp_path / "broken"
    broken.symlink_to(tmp_path / "nowhere")
    for path, piece in {
        file: "is not a folder",
        file / "below": "lies below a file",
        broken: "is not a folder",
        tmp_path / ("x" * 600): "cannot be created: File name too long",
        Path("a\0b"): "cannot be created",
        Path("/proc/nothing/here"): "cannot be created",
        Path("/proc"): "/proc: takes no files",
    }.items():
        with pytest.raises(BadInput) as caught:
            ensure_data_dir(path)
        assert piece in str(caught.value)
        assert "choose another folder with ORCHESTRATOR_DATA_DIR" in str(caught.value)
    # Root passes permission checks, so a full disk stands in for every reason why a folder takes no files.
    monkeypatch.setattr("tempfile.NamedTemporaryFile", _full)
    with pytest.raises(BadInput, match="takes no files: No space left on device"):
        ensure_data_dir(tmp_path)


def _full(**_arguments: object) -> None:
    raise OSError(28, os.strerror(28))
