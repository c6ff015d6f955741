"""Checkpoints as files: whole or not there, and nothing in them that could not be loaded again."""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.contract import CheckpointRef
from tasks.trainer.file_writers import Checkpoint, CheckpointWriter
from tasks.trainer_messages import CheckpointSaved
from tasks.trial_files import file_digest
from tests.later import Later

torch = Later("torch")


def ref(saved: CheckpointSaved) -> CheckpointRef:
    return CheckpointRef(step=saved.step, location=f"u/0/{saved.file}", digest=saved.digest, size=saved.size)


def given(folder: Path, *saved: CheckpointSaved) -> CheckpointWriter:
    """What the next attempt is given, newest first."""
    return CheckpointWriter(folder, "next", [(ref(each), str(folder / each.file)) for each in saved])


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other) and one.dtype == other.dtype
    if isinstance(one, dict):
        return type(one) is type(other) and list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and repr(one) == repr(other)


def trained() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    network = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return network, optimizer


STATES: dict[str, Callable[[], Any]] = {
    "nothing": lambda: None,
    "plain": lambda: {
        "a": [1, -2.5, "é", b"\x00\xff", None, True],
        "b": {"c": (1, (2,))},
        3: float("inf"),
        "d": 10**30,
    },
    "tensors": lambda: [torch.arange(4), torch.zeros(0), torch.tensor(1.5, dtype=torch.bfloat16), torch.ones(2) > 0],
    "a parameter": lambda: collections.OrderedDict(weight=torch.nn.Parameter(torch.ones(2)).detach()),
    "state dicts": lambda: [each.state_dict() for each in trained()],
    "generators": lambda: (random.getstate(), torch.get_rng_state(), torch.Generator().get_state()),
    "sets and dtypes": lambda: {"s": {1, 2}, "dtype": torch.float16, "size": torch.Size([1, 2]), "c": 1j},
}


@pytest.mark.parametrize("name", STATES)
def test_what_is_saved_is_loaded(tmp_path: Path, name: str) -> None:
    state = STATES[name]()
    saved = CheckpointWriter(tmp_path, "t").save(state, 7)
    assert saved.file == "t-7.pt"
    assert os.listdir(tmp_path) == ["t-7.pt"]
    assert (saved.size, saved.digest) == ((tmp_path / "t-7.pt").stat().st_size, file_digest(tmp_path / "t-7.pt"))
    files = given(tmp_path, saved)
    for _ in range(2):
        found = files.load()
        assert isinstance(found, Checkpoint)
        assert found.step == 7
        assert same(found.state, state)


@dataclasses.dataclass
class Config:
    lr: float = 0.1


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "an array": (lambda: {"x": np.zeros(3)}, "a NumPy array or number; convert it with torch.from_numpy"),
    "a NumPy number": (lambda: {"loss": np.float64(0.5)}, r"a NumPy array or number.*\.tolist\(\)"),
    "a NumPy generator": (lambda: np.random.default_rng(0), "a NumPy array"),
    "a module": (lambda: {"model": torch.nn.Linear(1, 1)}, r"torch\.nn\.modules\.linear\.Linear; save its state_dict"),
    "a dataclass": (lambda: Config(), r"test_checkpoints\.Config; a checkpoint holds tensors and plain data"),
    "a path": (lambda: [pathlib.PurePosixPath("x")], r"pathlib\..*PurePosixPath"),
    "a frozenset": (lambda: frozenset([1]), r"builtins\.frozenset"),
    "a defaultdict": (lambda: collections.defaultdict(list), r"collections\.defaultdict"),
    "a lambda": (lambda: {"f": lambda: 1}, "cannot be saved"),
    "a lock": (lambda: __import__("threading").Lock(), "cannot be saved: cannot pickle"),
    "a file": (lambda: sys.__stderr__, "cannot be saved"),
    "a huge number": (lambda: 10**700, "could not be loaded again"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_not_be_loaded_again_is_refused_at_once(tmp_path: Path, name: str) -> None:
    state, words = REFUSED[name]
    with pytest.raises(TypeError, match=f"^save_checkpoint: the state .*{words}"):
        CheckpointWriter(tmp_path, "t").save(state(), 1)
    assert os.listdir(tmp_path) == []


def test_a_step_that_is_saved_again_makes_another_file(tmp_path: Path) -> None:
    files = CheckpointWriter(tmp_path, "t")
    saved = [files.save(number, 1) for number in range(3)]
    assert [each.file for each in saved] == ["t-1.pt", "t-1.2.pt", "t-1.3.pt"]
    (tmp_path / "t-1.pt").unlink()  # uploaded and gone
    assert files.save(3, 1).file == "t-1.4.pt"
    assert CheckpointWriter(tmp_path, "t").save(4, 1).file == "t-1.pt"


# -- reading


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "is not there"),
    "empty": (lambda path: os.truncate(path, 0), "has 0 bytes instead of"),
    "cut off": (cut, "instead of"),
    "longer": (lambda path: path.write_bytes(path.read_bytes() + b"x"), "instead of"),
    "flipped": (flip, "its digest differs"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "is not there"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_one_that_is_damaged_is_named_and_the_one_before_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    files = CheckpointWriter(tmp_path, "t")
    older, newer = files.save({"at": 1}, 1), files.save({"at": 2}, 2)
    damage, words = DAMAGE[name]
    damage(tmp_path / newer.file)
    assert given(tmp_path, newer, older).load() == ({"at": 1}, 1)
    line = capsys.readouterr().err
    assert line.startswith("the checkpoint of step 2 is left out: ")
    assert words in line
    assert line.count("\n") == 1
    assert given(tmp_path, newer).load() is None


def test_one_that_could_not_be_fetched_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    older = CheckpointWriter(tmp_path, "t").save("older", 1)
    files = CheckpointWriter(tmp_path, "next", [(some_ref(2), ""), (ref(older), str(tmp_path / older.file))])
    assert files.load() == ("older", 1)
    assert "step 2 is left out: it could not be fetched" in capsys.readouterr().err


def some_ref(step: int) -> CheckpointRef:
    return CheckpointRef(step=step, location="u/0/x.pt", digest="0", size=1)


def test_code_in_a_file_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A user who can write to the folder and to the database can fake a digest; a checkpoint stays data."""
    torch.save({"x": Bomb(tmp_path / "went off")}, tmp_path / "b.pt")
    saved = CheckpointSaved(
        step=1, file="b.pt", digest=file_digest(tmp_path / "b.pt"), size=(tmp_path / "b.pt").stat().st_size
    )
    assert given(tmp_path, saved).load() is None
    assert not (tmp_path / "went off").exists()
    assert "step 1 is left out" in capsys.readouterr().err


class Bomb:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._path),)


def test_nothing_was_given() -> None:
    assert CheckpointWriter(Path("/nowhere"), "t").load() is None


# -- disks


@pytest.fixture
def small_files() -> Iterator[int]:
    """Files of this process end at 64 KiB, with an error, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    yield 1 << 16
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("count", [1, 50])
def test_a_full_disk_is_an_error_that_leaves_the_one_before(tmp_path: Path, small_files: int, count: int) -> None:
    files = CheckpointWriter(tmp_path, "t")
    before = files.save(torch.zeros(10), 1)
    with pytest.raises(OSError, match="File too large"):
        files.save([torch.zeros(small_files) for _ in range(count)], 2)
    assert os.listdir(tmp_path) == [before.file]
    assert given(tmp_path, before).load() is not None
    assert files.save(torch.zeros(10), 3).step == 3


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        CheckpointWriter(tmp_path / "file" / "x", "t").save(1, 1)


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from tasks.trainer import file_writers
files = file_writers.CheckpointWriter(Path(sys.argv[1]), "t")
files.save(torch.zeros(1000), 1)
setattr(*{
    "write": (file_writers.CheckedWriter, "write", lambda self, data: os.kill(os.getpid(), signal.SIGKILL)),
    "rename": (os, "replace", lambda one, other: os.kill(os.getpid(), signal.SIGKILL)),
}[sys.argv[2]])
files.save(torch.zeros(1000), 2)
"""


@pytest.mark.parametrize("moment", ["write", "rename"])
def test_a_trainer_that_is_killed_while_it_saves_leaves_nothing_under_a_name(tmp_path: Path, moment: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), moment], check=False)
    assert done.returncode == -signal.SIGKILL
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".pt", ".tmp"]
    assert (tmp_path / "t-1.pt").exists()
