"""A warm process goes from one code bundle to another, and back, and mixes none of their modules."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tasks.code_path import add_code_folders
from tasks.trainer.code_base import MOST_KEPT, CodeBase


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    path, finders, modules = list(sys.path), list(sys.meta_path), set(sys.modules)
    yield
    sys.path[:], sys.meta_path[:] = path, finders
    for name in set(sys.modules) - modules:
        if name.partition(".")[0] in ("mine", "loose", "helper_of_bundles"):
            del sys.modules[name]


def code(folder: Path, value: int) -> Path:
    (folder / "mine" / "sub").mkdir(parents=True)
    (folder / "mine" / "__init__.py").write_text("from helper_of_bundles import V\n")
    (folder / "mine" / "sub" / "__init__.py").write_text("import loose.part\nPART = loose.part.V\n")
    (folder / "helper_of_bundles.py").write_text(
        f"V = {value}\nSTATE = []\ndef late():\n    import mine.sub\n    return mine.sub.PART\n"
    )
    (folder / "loose").mkdir()
    (folder / "loose" / "part.py").write_text(f"V = {100 * value}\n")
    return folder


def values() -> tuple[int, int, list[int]]:
    mine = importlib.import_module("mine")
    helper = importlib.import_module("helper_of_bundles")
    helper.STATE.append(mine.V)
    return mine.V, helper.late(), helper.STATE


def test_every_order_of_bundles_and_the_workers_own_folder(tmp_path: Path) -> None:
    own = code(tmp_path / "own", 1)
    add_code_folders([own])
    base = CodeBase([own])
    folders = {1: (), 2: (str(code(tmp_path / "two", 2)),), 3: (str(code(tmp_path / "three", 3)),)}
    met = dict.fromkeys(folders, 0)
    order = [each for pair in itertools.permutations(folders, 2) for each in pair]
    for each in order:
        base.enter(folders[each])
        met[each] += 1
        assert values() == (each, 100 * each, [each] * met[each]), "and the modules of each keep their state"
    for each, found in folders.items():
        base.enter(found)
        assert sum(entry in sys.path for entry in (str(own), *folders[2], *folders[3])) == 1, each
        assert sys.path[0] == (found[0] if found else str(own))


def test_a_module_whose_file_is_none_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # As torch.ops and torch.classes do, in a worker whose own folder is the working directory.
    operations = ModuleType("helper_of_bundles")
    operations.__file__ = "_ops.py"
    monkeypatch.setitem(sys.modules, "helper_of_bundles", operations)

    class Lazy(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise RuntimeError(name)

    monkeypatch.setitem(sys.modules, "mine", Lazy("mine"))
    CodeBase([tmp_path]).enter((str(code(tmp_path / "two", 2)),))
    assert sys.modules["helper_of_bundles"] is operations
    assert isinstance(sys.modules["mine"], Lazy)


def test_entering_the_code_that_is_there_changes_nothing(tmp_path: Path) -> None:
    base = CodeBase([])
    two = (str(code(tmp_path / "two", 2)),)
    assert base.enter(two)
    mine = importlib.import_module("mine")
    assert not base.enter(two)
    assert sys.modules["mine"] is mine
    assert base.enter(())
    assert "mine" not in sys.modules
    assert "json" in sys.modules


def test_a_folder_that_the_code_puts_on_the_path_goes_with_it(tmp_path: Path) -> None:
    for value in (2, 3):
        folder = code(tmp_path / str(value), value)
        (folder / "extra").mkdir()
        (folder / "extra" / "mine_extra.py").write_text(f"V = {value}\n")
        (folder / "mine" / "__init__.py").write_text(
            "import os, sys\nsys.path.append(os.path.dirname(os.path.dirname(__file__)) + '/extra')\n"
            "import mine_extra\n"
        )
    base, before = CodeBase([]), list(sys.path)
    for value in (2, 3, 2):
        base.enter((str(tmp_path / str(value)),))
        importlib.import_module("mine")
        assert value == importlib.import_module("mine_extra").V
        assert [entry for entry in sys.path if entry.startswith(str(tmp_path))] == [
            str(tmp_path / str(value)),
            str(tmp_path / str(value) / "extra"),
        ]
    base.enter(())
    assert sys.path == before
    assert "mine_extra" not in sys.modules


def test_a_worker_that_was_started_in_the_root_keeps_python(tmp_path: Path) -> None:
    before, modules = list(sys.path), dict(sys.modules)
    base = CodeBase([Path("/")])
    base.enter((str(code(tmp_path / "two", 2)),))
    assert values()[0] == 2
    assert sys.path[1:] == before
    for name in ("json", "os", "encodings", "msgspec", "tasks.trainer.code_base"):
        assert sys.modules.get(name) is modules.get(name), name
    base.enter(())
    assert [entry for entry in sys.path if entry != "/"] == before


def test_modules_of_many_bundles_are_forgotten_and_imported_anew(tmp_path: Path) -> None:
    base = CodeBase([])
    folders = [(str(code(tmp_path / str(each), each)),) for each in range(MOST_KEPT + 3)]
    for number, each in enumerate(folders):
        base.enter(each)
        assert values() == (number, 100 * number, [number])
    base.enter(folders[-2])
    assert values()[2] == [MOST_KEPT + 1] * 2
    base.enter(folders[0])
    assert values()[2] == [0], "the first was forgotten"
