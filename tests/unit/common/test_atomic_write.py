"""Files that are replaced whole, and what is no file and has to stay what it is."""

from __future__ import annotations

import os
import stat
import tempfile
import threading
from pathlib import Path

import pytest

from orchestrator.common.atomic_write import replacing


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with replacing(path) as file:
        file.write(b"first")
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["table.csv"]


def test_a_link_stays_and_what_it_names_is_replaced(tmp_path: Path) -> None:
    link = tmp_path / "latest.csv"
    link.symlink_to("table.csv")
    with replacing(link) as file:
        file.write(b"rows")
    assert link.is_symlink()
    assert (tmp_path / "table.csv").read_bytes() == b"rows"


def test_links_in_a_circle_take_nothing(tmp_path: Path) -> None:
    circle = tmp_path / "circle.csv"
    circle.symlink_to(circle)
    with pytest.raises(OSError, match="symbolic links"), replacing(circle):
        raise AssertionError
    assert circle.is_symlink()


def test_a_file_in_memory_is_replaced_whole() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / "run.json"
        path.write_bytes(b"first")
        with replacing(path) as file:
            file.write(b"second")
            file.flush()
            assert path.read_bytes() == b"first"
        assert path.read_bytes() == b"second"


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    with replacing(pipe) as file:
        file.write(b"rows")
    reader.join()
    assert read == [b"rows"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.skipif(os.geteuid() == 0, reason="a fault would take the device from the whole machine")
def test_a_device_is_written_to_and_stays(tmp_path: Path) -> None:
    link = tmp_path / "null"
    link.symlink_to(os.devnull)
    for path in (link, Path(os.devnull)):
        with replacing(path) as file:
            file.write(b"rows")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
