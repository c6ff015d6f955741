"""What [code] include takes: what git would take, without what is never code; and what it refuses."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator import Search
from orchestrator.bundling import included_files
from orchestrator.bundling.included_files import IncludedFiles
from orchestrator.common.errors import BadInput
from orchestrator.common.settings import Settings
from orchestrator.spec.carried_code import import_folders, with_bundle, with_included
from orchestrator.spec.model import Spec, validate
from tasks.code_bundle import CodeBundle, make_bundle, unpack

IGNORES = {
    ".gitignore": "*.ckpt\n/build/\n!keep.ckpt\n# a comment\n\\#odd\nlogs\n*.tmp\n!deep/x.tmp\n",
    "pkg/.gitignore": "secret.py\n!build/\n*.csv\n",
    "pkg/data/.gitignore": "!wanted.csv\n/only_here.txt\n",
    "deep/.gitignore": "**/gen/*.py\n!**/gen/kept.py\nfolder/\n",
}
FILES = (
    *("a.py", "a.ckpt", "keep.ckpt", "#odd", "build/x.py", "sub/build/x.py", "logs", "x.tmp", "deep/x.tmp"),
    *("pkg/__init__.py", "pkg/train.py", "pkg/secret.py", "pkg/sub/secret.py", "pkg/build/y.py", "pkg/t.csv"),
    *("pkg/data/wanted.csv", "pkg/data/not.csv", "pkg/data/only_here.txt", "pkg/only_here.txt", "pkg/data/logs/z"),
    *("deep/gen/a.py", "deep/gen/kept.py", "deep/a/gen/b.py", "deep/folder/c.py", "deep/a/folder/d.py", "b c/ü.py"),
)


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(IGNORES.get(name, "x = 1\n"))


def included(root: Path, *entries: str, exclude: tuple[str, ...] = ()) -> set[str]:
    found = IncludedFiles("code.include", root, exclude)
    found.add(entries)
    return set(found.files)


@pytest.mark.skipif(shutil.which("git") is None, reason="git")
def test_it_takes_what_git_takes(tmp_path: Path) -> None:
    write(tmp_path, *FILES, *IGNORES)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    listed = subprocess.run(
        ["git", "-C", tmp_path, "ls-files", "-z", "--others", "--exclude-standard"], capture_output=True, check=True
    )
    git = set(filter(None, listed.stdout.decode().split("\0")))
    assert included(tmp_path, ".") == git
    assert included(tmp_path / "pkg", ".") == {name[4:] for name in git if name.startswith("pkg/")}
    assert "pkg/secret.py" not in git
    assert {"pkg/data/wanted.csv", "deep/gen/kept.py"} <= git


def test_what_is_never_code_stays_behind_without_git(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "__pycache__/a.pyc", ".git/config", "venv/lib/x.py", ".orchestrator/studies.db")
    write(tmp_path, "node_modules/x.js", "sub/.ipynb_checkpoints/x.py", "data/x.csv", "data/y.bin")
    (tmp_path / "venv" / "pyvenv.cfg").write_text("")
    assert included(tmp_path, ".", exclude=("*.bin",)) == {"a.py", "data/x.csv"}
    assert included(tmp_path, "data/*.csv", "a.py", "a.py") == {"a.py", "data/x.csv"}
    assert included(tmp_path, "**/*.csv") == {"data/x.csv"}


def test_links_within_are_followed_and_others_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(tmp_path, "root/a.py", "outside.py")
    (root / "link.py").symlink_to("a.py")
    (root / "circle").symlink_to(".")
    assert included(root, ".") == {"a.py", "link.py"}
    (root / "out.py").symlink_to("../outside.py")
    with pytest.raises(BadInput, match=r"'out.py' is a link that leads out of .*; put the file there, or leave it out"):
        included(root, ".")
    assert included(root, ".", exclude=("out.py",)) == {"a.py", "link.py"}


def test_files_that_no_author_expects_raise_nothing_else_than_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    write(tmp_path, "root/a.py", "root/big.bin", "beside/b.py")
    # A worktree has a file of that name.
    write(root, "sub/.git", "sub/left.py")
    (root / "one").symlink_to("two")
    (root / "two").symlink_to("one")
    os.mkfifo(root / "pipe")
    # Git passes over the lines that are no pattern.
    (root / ".gitignore").write_text("!\n\\\nleft.py\n")
    assert included(root, ".") == {".gitignore", "a.py", "big.bin"}
    with pytest.raises(BadInput, match=r"^code.exclude: is not as in a .gitignore: .*'!'"):
        included(root, ".", exclude=("!",))
    with pytest.raises(BadInput, match="is not below"):
        included(root, "../bes*/*.py")
    monkeypatch.setattr(included_files, "LARGEST", 1 << 20)
    os.truncate(root / "big.bin", 1 << 20)
    with pytest.raises(BadInput, match=r"with 'big\.bin' there are more than 1 MiB; leave large files out by exclude"):
        included(root, ".")
    assert included(root, "big.bin", "*.bin") == {"big.bin"}


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("missing", "there is no 'missing' in"),
        ("*.nothing", r"there is no '\*.nothing' in"),
        ("../outside.py", "is not below"),
        ("/etc/hostname", "is not below"),
        ("left.pyc", "'left.pyc' holds no file but what .gitignore or exclude leave out"),
        ("/*", "is no pattern"),
    ],
)
def test_an_entry_that_names_nothing_is_refused(tmp_path: Path, entry: str, problem: str) -> None:
    write(tmp_path, "outside.py", "root/left.pyc")
    with pytest.raises(BadInput, match=problem) as caught:
        included(tmp_path / "root", entry)
    assert "\n" not in str(caught.value)
    assert "; " in str(caught.value) or entry == "/*"


def spec(**code: object) -> Spec:
    table = {"name": "s", "objective": "mypkg.train:objective", "trials": 1, "code": code}
    return validate(table, "s.toml")


def bundle_of(found: Spec) -> CodeBundle:
    assert found.code is not None
    return unpack(found.code.carried()[0], found.code.bundle)


def test_a_package_is_found_where_it_lies_and_what_it_imports_comes_along(tmp_path: Path) -> None:
    write(tmp_path, "src/mypkg/__init__.py", "data/x.csv", "notes.txt", "beside/__init__.py", "beside/far.py")
    (tmp_path / "src/mypkg/train.py").write_text("import beside.far, json, numpy\n")
    search = spec(include=["src/mypkg", "data"])
    assert import_folders(search, tmp_path) == [tmp_path / "src", tmp_path, tmp_path / "data"]
    found = with_included(search, tmp_path, [tmp_path], Settings())
    bundle = bundle_of(found)
    assert [file.path for file in bundle.files] == [
        *("beside/__init__.py", "beside/far.py", "data/x.csv", "src/mypkg/__init__.py", "src/mypkg/train.py"),
    ]
    assert bundle.paths == ("src", "", "data")
    assert found.reference == f"bundle:{bundle.digest}:mypkg.train:objective"
    assert with_included(search, tmp_path, [tmp_path], Settings()).reference == found.reference
    assert found.stored().code is not None
    assert "archive" not in found.stored().to_json()["code"]
    assert "archive" not in found.shown()["code"]
    assert Spec.from_json(found.to_json()) == found


def test_a_folder_that_is_no_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"code.root: there is no folder .*nowhere; name one, relative to"):
        with_included(spec(include=["a"], root="nowhere"), tmp_path, [], Settings())


def test_too_much_code_is_refused_in_a_line_that_names_the_largest_files() -> None:
    import random

    noise = random.Random(1).randbytes
    files = [("small.py", b"1"), ("big.bin", noise(2 << 20)), ("mid.bin", noise(1 << 20))]
    with pytest.raises(BadInput) as caught:
        with_bundle(spec(), make_bundle("small:objective", files), Settings(code_limit=1 << 20))
    assert str(caught.value) == (
        "code of 's': has 3.0 MiB, and ORCHESTRATOR_CODE_LIMIT allows 1.0 MiB; leave files out by [code] exclude, or "
        "raise ORCHESTRATOR_CODE_LIMIT; the largest: big.bin (2.0 MiB), mid.bin (1.0 MiB), small.py (1 KiB)"
    )


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ({"include": "src"}, "code.include: is a string; write an array, as in ['src']"),
        ({"include": [""]}, "code.include[0]: cannot be ''; name a file or a folder"),
        ({"requirements": ["numpy >>> 2"]}, "code.requirements[0]: is no requirement: 'numpy >>> 2'; write it as in"),
        ({"requirements": ["x @ https://a/x.whl"]}, "workers install nothing; name the package and its version"),
        ({"bundle": "0" * 64}, "code.bundle: unknown key; known: exclude, include, requirements, root"),
        ({"includes": []}, "code.includes: unknown key; did you mean 'include'?"),
    ],
)
def test_a_table_that_is_wrong_is_refused(code: dict[str, object], problem: str) -> None:
    with pytest.raises(BadInput) as caught:
        spec(**code)
    assert problem in str(caught.value)


def program(*words: str, **more: object) -> dict[str, object]:
    return {"name": "s", "trials": 1, "command": {"run": list(words)}, "code": {"include": ["a.sh", "pkg"]}} | more


def test_a_program_brings_the_files_that_it_names(tmp_path: Path) -> None:
    write(tmp_path, "a.sh", "pkg/x.py", "unnamed.py")
    found = with_included(validate(program("bash", "{code_dir}/a.sh"), "s"), tmp_path, [], Settings())
    assert found.code is not None
    bundle = unpack(found.code.carried()[0], found.code.bundle)
    assert ([file.path for file in bundle.files], bundle.paths) == (["a.sh", "pkg/x.py"], ("",))
    assert found.reference == f"bundle:{bundle.digest}:tasks.program.objective:train"
    assert (found.objective, found.trained) == ("", "bash '{code_dir}/a.sh'")
    assert Spec.from_json(found.stored().to_json()).reference == found.reference


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (program("bash", "a.sh"), "command.run: names {code_dir} nowhere, the folder in which a worker has the files"),
        (program("{code_dir}/a.sh"), "command.run[0]: is a file of {code_dir}, and files are sent without the mode"),
        (program("bash", "{code_dir}/a.sh", code={}), "command.run[1]: names 'code_dir', and no files go with this"),
        (
            program("bash", "{code_di}/a.sh"),
            "command.run[1]: names 'code_di', which is no parameter of [space]; did",
        ),
    ],
)
def test_a_program_says_where_its_files_are(table: dict[str, object], problem: str) -> None:
    with pytest.raises(BadInput) as caught:
        validate(table, "s")
    assert str(caught.value).startswith(f"s: {problem}")


def test_a_function_brings_the_files_that_its_search_includes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "data/a.csv", "pkg/x.py")
    (tmp_path / "brought_with.py").write_text("def objective(trial): return 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    objective = importlib.import_module("brought_with").objective
    search = Search(objective, name="s", trials=1, code={"include": ["data", "pkg", "brought_with.py"]})
    assert search.spec.code is not None
    bundle = unpack(search.spec.code.carried()[0], search.spec.code.bundle)
    assert [file.path for file in bundle.files] == ["brought_with.py", "data/a.csv", "pkg/x.py"]
    with pytest.raises(BadInput, match=r"Search: code.include: there is no 'none' in "):
        Search(objective, name="s", trials=1, code={"include": ["none"]})
