"""Files that are no longer needed are deleted, in any store; what cannot be deleted is said once."""

from __future__ import annotations

import logging
import uuid
from pathlib import Path

import fsspec
import pytest

from orchestrator.control.file_deleter import FileDeleter
from orchestrator.engine.outputs import Sweep

ENDED, LIVE, FOREIGN = (str(uuid.UUID(int=number)) for number in (1, 2, 3))


@pytest.fixture(params=["folder", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "store") if request.param == "folder" else f"memory://{tmp_path}/store"


def fill(url: str, *names: str) -> None:
    files, root = fsspec.core.url_to_fs(url)
    for name in names:
        path = f"{root}/{name}"
        files.makedirs(path.rpartition("/")[0], exist_ok=True)
        files.pipe_file(path, b"x")


def left(url: str) -> set[str]:
    files, root = fsspec.core.url_to_fs(url)
    return {path.rpartition("/store/")[2] for path in files.find(root)}


def test_an_artifact_is_thrown_away_once_or_twice(url: str) -> None:
    fill(url, "a-1", "a-2")
    deleter = FileDeleter(url, "an artifact")
    for _ in range(2):
        deleter.delete("a-1")
    deleter.delete("never-there")
    deleter.close()
    assert left(url) == {"a-2"}


def test_a_sweep_takes_what_attempts_that_have_ended_left_unrecorded(url: str) -> None:
    names = [f"{token}-{tail}" for token in (ENDED, LIVE, FOREIGN) for tail in ("aa", "bb", "cc.tmp")]
    fill(url, *names, "own", "of/another")
    deleter = FileDeleter(url, "an artifact")
    deleter.sweep(Sweep(frozenset({ENDED}), frozenset({f"{ENDED}-aa", f"{LIVE}-aa"})))
    deleter.sweep(Sweep(frozenset(), frozenset()))
    deleter.close()
    assert left(url) == {*names, "own", "of/another"} - {f"{ENDED}-bb", f"{ENDED}-cc.tmp"}


def test_where_nothing_was_ever_kept_nothing_is_said(url: str, caplog: pytest.LogCaptureFixture) -> None:
    artifacts, checkpoints = FileDeleter(url, "an artifact"), FileDeleter(url, "a checkpoint")
    artifacts.sweep(Sweep(frozenset({ENDED}), frozenset()))
    checkpoints.delete_folder("uid")
    artifacts.close()
    checkpoints.close()
    assert not caplog.records


def test_checkpoints_go_one_by_one_or_with_their_study(url: str) -> None:
    fill(url, "one/00000/a.pt", "one/00001/b.pt", "two/00000/c.pt", "two/00000/d.pt")
    deleter = FileDeleter(url, "a checkpoint")
    deleter.delete("two/00000/c.pt")
    deleter.delete_folder("one")
    deleter.close()
    assert left(url) == {"two/00000/d.pt"}


def test_what_cannot_be_deleted_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "store").mkdir()
    for name in ("a", "b"):
        # A folder where a file should be.
        (tmp_path / "store" / name / "below").mkdir(parents=True)
    deleter = FileDeleter(str(tmp_path / "store"), "an artifact")
    with caplog.at_level(logging.WARNING):
        deleter.delete("a")
        deleter.delete("b")
        deleter.close()
    (record,) = caplog.records
    assert record.__dict__["action"] == "bin_failed"
    assert record.getMessage().startswith("an artifact cannot be deleted: ")
