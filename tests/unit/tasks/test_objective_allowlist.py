"""What a worker admits: by name before anything is imported, and by where it is defined when it is resolved."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.metrics_endpoint import BadSetting
from tasks.objective_allowlist import ALLOW_ALL, Allowlist, split_list
from tasks.objective_path import check_folders, split_path
from tasks.trainer.objective_runner import ObjectiveMissing, load

MINE = """
import functools, os, subprocess
import numpy as np
from os import system
from functools import lru_cache, partial
from pathlib import Path as Folder
import mine_helpers.parts as parts

MARK.touch()

def objective(trial): return 1.0
def plain_decorator(function):
    def wrapper(trial): return function(trial)
    return wrapper

wrapped = functools.wraps(objective)(lambda trial: objective(trial))
cached = lru_cache(objective)
bound_early = partial(objective)
decorated = plain_decorator(objective)
no_grad = np.errstate(all="ignore")(objective)

foreign_partial = partial(system)
nested_partial = partial(partial(partial(subprocess.call), "true"))
foreign_cached = lru_cache(system)
foreign_wrapped = functools.wraps(subprocess.call)(lambda trial: subprocess.call(trial))
foreign_vectorized = np.vectorize(objective)
spoofed = type(objective)(subprocess.call.__code__, vars(subprocess))
spoofed.__module__ = __name__

class Runner(subprocess.Popen): pass

class Search:
    def __call__(self, trial): return 2.0
    def method(self, trial): return 3.0
    @staticmethod
    def static(trial): return 4.0
    @classmethod
    def of_class(cls, trial): return 5.0

class Quiet(functools.partial): pass

search = Search()
method = search.method
renamed = type(search)
shell = Quiet(system)
where = Folder("x")
lines = []
"""

GOOD = [
    "objective",
    "wrapped",
    "cached",
    "bound_early",
    "decorated",
    "no_grad",
    "search",
    "search.method",
    "method",
    "Search.static",
    "Search.of_class",
    "parts.objective",
]
BAD = [
    "system",
    "os.system",
    "os.path.join",
    "subprocess.call",
    "subprocess.Popen",
    "foreign_partial",
    "nested_partial",
    "foreign_cached",
    "foreign_wrapped",
    "foreign_vectorized",
    "spoofed",
    "Runner",
    "Search",
    "renamed",
    "shell",
    "where.unlink",
    "lines.append",
    "np.linalg.norm",
    "Folder.home",
    "functools.reduce",
    "parts.system",
    "parts.os.system",
]
DUNDER = ("objective.__call__", "objective.__globals__", "search.__class__", "__builtins__.exec", "Search.__init__")


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the user's, on the path, with a module that holds much of what is not the user's."""
    folder = tmp_path / "code"
    (folder / "mine_helpers").mkdir(parents=True)
    mark = tmp_path / "imported"
    (folder / "mine.py").write_text(f"from pathlib import Path\nMARK = Path({str(mark)!r})\n" + MINE)
    (folder / "mine_helpers" / "parts.py").write_text(
        "import os\nfrom os import system\ndef objective(trial): return 6.0\n"
    )
    (folder / "minefield.py").write_text("raise RuntimeError('this must not be imported')\n")
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if name.startswith("mine"):
            del sys.modules[name]


def by_folder(folder: Path) -> Allowlist:
    return Allowlist(folders=(folder,))


def by_list(_: Path) -> Allowlist:
    return Allowlist(("mine", "mine_helpers"))


@pytest.fixture(params=[by_folder, by_list], ids=["by folder", "by list"])
def admission(request: pytest.FixtureRequest, mine: Path) -> Allowlist:
    make: Callable[[Path], Allowlist] = request.param
    return make(mine)


@pytest.mark.parametrize("attribute", GOOD)
def test_what_the_user_has_written_is_admitted(admission: Allowlist, attribute: str) -> None:
    assert admission.refuse(f"mine:{attribute}") == ""
    assert callable(load(f"mine:{attribute}", admission))


@pytest.mark.parametrize("attribute", BAD)
def test_what_was_defined_elsewhere_is_not(admission: Allowlist, attribute: str) -> None:
    assert callable(load(f"mine:{attribute}"))  # it is there, and could be called
    with pytest.raises(ObjectiveMissing) as caught:
        load(f"mine:{attribute}", admission)
    assert type(caught.value.__cause__).__name__ == "NotAdmitted"
    assert str(caught.value).startswith(f"mine:{attribute}: ")
    assert "\n" not in str(caught.value)
    assert ("it is a class" in str(caught.value)) is (attribute in ("Runner", "Search", "renamed"))


@pytest.mark.parametrize("attribute", DUNDER)
def test_pythons_own_names_are_refused_before_the_import(admission: Allowlist, tmp_path: Path, attribute: str) -> None:
    with pytest.raises(ObjectiveMissing, match="double underscores"):
        load(f"mine:{attribute}", admission)
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize(
    "reference",
    [
        "os:system",
        "subprocess:call",
        "builtins:exec",
        "posix:system",
        "optuna:create_study",
        "numpy:load",
        "tasks.celery_task:register",
        "tasks.trainer.objective_runner:load",
        "tasks.objectives_of_others:objective",
        "tasks:objectives.digits.objective",
        "orchestrator.local.run:run",
        "minefield:objective",
        "mine_helpers.none:f",
        "__main__:main",
        "mine.__init__:objective",
        "mine",
        "mine:",
        ":objective",
        "",
        "mine:objective:objective",
        ".mine:objective",
        "mine..x:objective",
        "../mine:objective",
        "mine:objective()",
        "mine;import os:objective",
        "mine\n:objective",
    ],
)
@pytest.mark.parametrize("make", [lambda folder: Allowlist(folders=(folder / "mine_helpers",)), lambda _: None])
def test_other_names_are_refused_and_not_imported(
    mine: Path, reference: str, make: Callable[[Path], Allowlist | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a list and the folder, or with a list of which the name only has the beginning."""
    admission = make(mine) or Allowlist(("tasks.objectives", "min", "mine_helper", "mine.x"))
    imported: list[str] = []
    monkeypatch.setattr("tasks.trainer.objective_runner.importlib.import_module", imported.append)
    with pytest.raises(ObjectiveMissing) as caught:
        load(reference, admission)
    assert imported == []
    assert "\n" not in str(caught.value).removeprefix(reference)


def test_without_a_list_the_ready_objectives_are_admitted_though_installed() -> None:
    nothing = Allowlist()
    assert callable(load("tasks.objectives.digits:objective", nothing))
    for attribute in ("torch.save", "optuna.create_study", "time.sleep"):
        with pytest.raises(ObjectiveMissing):
            load(f"tasks.objectives.digits:{attribute}", nothing)


def test_this_program_is_no_objective_where_it_is_run_from_its_own_folder() -> None:
    here = Allowlist(folders=(Path(__file__).parents[3],))
    assert here.refuse("orchestrator.local.run:run")
    assert here.refuse("tasks.celery_task:register")
    assert not here.refuse("tests.bench.objectives:objective")


@pytest.mark.parametrize("where", ["venv/lib/site-packages", "vendored"])
def test_what_is_on_pythons_path_and_lies_below_the_folder_is_no_code_of_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    inside = tmp_path / where
    inside.mkdir(parents=True)
    (inside / "installed_thing.py").write_text("def f(trial): ...\n")
    monkeypatch.syspath_prepend(str(inside))
    assert "does not admit 'installed_thing'" in Allowlist(folders=(tmp_path,)).refuse("installed_thing:f")
    assert not Allowlist(folders=(inside,)).refuse("installed_thing:f")


def test_a_module_that_another_one_hides_is_judged_by_what_was_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder has a module of that name, but an installed one of the same name was imported first."""
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed" / "hidden_thing.py").write_text("def f(trial): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    importlib.import_module("hidden_thing")
    (tmp_path / "hidden_thing.py").write_text("def f(trial): ...\n")
    admission = Allowlist(folders=(tmp_path,))
    assert not admission.refuse("hidden_thing:f")
    with pytest.raises(ObjectiveMissing, match="leads through 'hidden_thing'"):
        load("hidden_thing:f", admission)


@pytest.mark.parametrize(
    "admission", [ALLOW_ALL, Allowlist(("os:system",)), Allowlist(("mine",), named=("os:system",))]
)
def test_what_the_owner_has_named_is_admitted_whatever_it_is(admission: Allowlist) -> None:
    assert callable(load("os:system", admission))
    if admission is not ALLOW_ALL:
        with pytest.raises(ObjectiveMissing):
            load("os:popen", admission)


def test_a_refusal_says_what_is_admitted_and_what_to_do(mine: Path) -> None:
    by_default = Allowlist(folders=(mine,)).refuse("other.train:f")
    assert (
        f"ORCHESTRATOR_OBJECTIVES is not set, which admits tasks.objectives and modules found in '{mine}'" in by_default
    )
    assert "list 'other.train' there" in by_default
    listed = Allowlist(("a", "b.c")).refuse("other.train:f")
    assert "it admits ORCHESTRATOR_OBJECTIVES=a,b.c: add 'other.train' there" in listed


@pytest.mark.parametrize(
    ("text", "entries"),
    [("", ()), (" , ", ()), ("a", ("a",)), ("a, b.c\td:e.f ,*", ("a", "b.c", "d:e.f", "*"))],
)
def test_a_list_is_separated_by_commas_or_blanks(text: str, entries: tuple[str, ...]) -> None:
    assert split_list(text) == entries


@pytest.mark.parametrize("text", ["a.*", "a/b", "a:", ":f", "a.b.", "**", "1a", "a:b:c"])
def test_a_list_with_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadSetting, match="neither a module's name"):
        split_list(f"fine,{text}")


def test_folders_are_absolute_and_have_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a").mkdir()
    (tmp_path / "file").touch()
    folders = split_path("a:~/a: ../x/ ::/b")
    assert folders == (tmp_path / "a", tmp_path / "a", tmp_path.parent / "x", Path("/b"))
    check_folders(folders[:2])
    for bad, words in (("nowhere", "does not exist"), ("file", "is not a folder")):
        with pytest.raises(BadSetting, match=f"{bad}' {words}"):
            check_folders(split_path(f"a:{bad}"))
