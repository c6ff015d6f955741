"""Files of the user's take the place of nothing that this program is made of, and are found by the user's own code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.common.errors import BadInput
from orchestrator.spec.objective_check import check_objective
from tasks.code_path import name_conflict
from tasks.objective_allowlist import Allowlist
from tasks.objective_path import OBJECTIVE_PATH

SHADOWS = ("tasks", "orchestrator", "celery", "optuna", "random", "logging", "kombu", "redis", "queue", "statistics")
"""Names of modules of this program's, of packages it needs, and of the standard library."""


def python(folder: Path, text: str, *options: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [sys.executable, *options, "-c", text],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('the user\\'s {name}.py')\n")
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "__init__.py").write_text("")
    (tmp_path / "train.py").write_text("def objective(trial):\n    return 1.0\n")
    return tmp_path


@pytest.mark.parametrize("name", SHADOWS)
def test_a_library_finds_its_own(folder: Path, tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    elsewhere = tmp_path_factory.mktemp("installed")
    (elsewhere / "library.py").write_text(f"import sys\nsys.modules.pop({name!r}, None)\nimport {name}\n")
    text = (
        "import sys; from tasks.code_path import add_code_folders\n"
        f"sys.path.append({str(elsewhere)!r}); add_code_folders([{str(folder)!r}]); import library"
    )
    python(folder, text, "-P")


def test_a_module_of_another_system_is_not_the_users(tmp_path: Path) -> None:
    (tmp_path / "_winapi.py").write_text("raise RuntimeError('the user\\'s')\n")
    add = f"from tasks.code_path import add_code_folders; add_code_folders([{str(tmp_path)!r}])"
    text = f"import sys; {add}; import multiprocessing.connection; print('_winapi' in sys.modules)"
    assert python(tmp_path, text, "-P") == "False"


@pytest.mark.parametrize(
    "library",
    [
        "import importlib; importlib.import_module('mine')",
        "__import__('mine')",
        "import pickle; pickle.loads(b'cmine\\nNAME\\n.')",
        "import mine",
    ],
)
def test_a_library_that_this_program_does_not_need_finds_the_users(tmp_path: Path, library: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.py").write_text("NAME = 1\nprint(__name__)\n")
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed" / "library.py").write_text(f"{library}\n")
    text = (
        "import sys; from tasks.code_path import add_code_folders\n"
        f"sys.path.append({str(tmp_path / 'installed')!r}); add_code_folders([{str(tmp_path / 'mine')!r}])\n"
        "import library"
    )
    assert python(tmp_path, text, "-P") == "mine"


@pytest.mark.parametrize("call", ["importlib.import_module(name)", "__import__(name)", "pickle.loads(pickled)"])
def test_a_library_that_it_needs_is_given_the_users_by_name(tmp_path: Path, call: str) -> None:
    (tmp_path / "mine.py").write_text("NAME = 1\n")
    add = f"from tasks.code_path import add_code_folders; add_code_folders([{str(tmp_path)!r}])"
    given = "{'__name__': 'celery.app', 'name': 'mine', 'pickled': b'cmine\\nNAME\\n.'}"
    text = f"{add}; import sys; exec('import importlib, pickle; {call}', {given}); print(sys.modules['mine'].NAME)"
    assert python(tmp_path, text, "-P") == "1"


def test_the_users_code_finds_the_users(folder: Path) -> None:
    (folder / "statistics.py").write_text("MINE = True\n")
    (folder / "train.py").write_text("import statistics\nimport helpers\nprint(statistics.MINE)\n")
    add = f"from tasks.code_path import add_code_folders; add_code_folders([{str(folder)!r}])"
    assert python(folder, f"{add}; import train", "-P") == "True"


def test_a_trainer_loads_the_users_module_where_another_of_that_name_is_installed(tmp_path: Path) -> None:
    for place, word in (("installed", "theirs"), ("mine", "mine")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "utils.py").write_text(f"def objective(trial):\n    return {word!r}\n")
    text = (
        "import sys; from tasks.code_path import add_code_folders; from tasks.trainer.objective_runner import load\n"
        f"sys.path.append({str(tmp_path / 'installed')!r}); add_code_folders([{str(tmp_path / 'mine')!r}])\n"
        "print(load('utils:objective')(None))"
    )
    assert python(tmp_path, text, "-P") == "mine"


@pytest.mark.parametrize("arguments", [("--help",), ("validate", "spec.toml"), ("ls",)])
def test_the_command_line_starts_beside_them(folder: Path, arguments: tuple[str, ...]) -> None:
    (folder / "spec.toml").write_text('name = "s"\nobjective = "train:objective"\ntrials = 1\n')
    words = ["orchestrator", *arguments]
    program = f"import sys; from orchestrator.cli import main; sys.argv = {words!r}; main()"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ORCHESTRATOR_")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "ImportError" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tasks", "'tasks' is also the name of a part of this program"),
        ("orchestrator", "'orchestrator' is also the name of a part of this program"),
        ("celery", "'celery' is also the name of a package that this program needs"),
        ("numpy", "'numpy' is also the name of a package that this program needs"),
        ("random", "'random' is also the name of a module of Python's own"),
        ("logging", "'logging' is also the name of a module of Python's own"),
    ],
)
def test_an_objective_in_a_module_of_such_a_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    (tmp_path / f"{name}.py").write_text("def objective(trial):\n    return 1.0\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=words) as caught:
        check_objective(f"{name}:objective", [])
    assert "rename the file" in str(caught.value)
    for admitted in ("", "*", name):
        environment = {OBJECTIVE_PATH: str(tmp_path), "ORCHESTRATOR_OBJECTIVES": admitted}
        assert words in Allowlist.of(environment).refuse(f"{name}:objective")


@pytest.mark.parametrize("name", ["train", "tasks.objectives.digits", "no_such_module", "yaml_of_mine"])
def test_any_other_name_is_free(folder: Path, name: str) -> None:
    (folder / "yaml_of_mine.py").write_text("")
    assert name_conflict(name, [folder]) == ""


def test_this_programs_own_checkout_is_no_users_folder() -> None:
    assert name_conflict("tasks.app", [Path(__file__).parents[3]]) == ""
