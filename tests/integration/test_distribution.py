"""The wheel of ``make dist``: it holds the program and no tests, and runs in an environment that has no checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest
from fleet import PATIENCE, ROOT

from tests.installed import program

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CODE = ("orchestrator", "tasks")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds the wheel in a checkout that has what git has, and nothing that an earlier build left behind."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in ("Makefile", "pyproject.toml", "README.md", *CODE):
        (checkout / name).symlink_to(ROOT / name)
    done = subprocess.run(
        [program("make"), "dist", f"PYTHON={sys.executable}"],
        cwd=checkout,
        # The setuptools that is installed here builds it: a test downloads nothing.
        env=clean_environment() | {"PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    (built,) = (checkout / "dist").iterdir()
    return built


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("ORCHESTRATOR_", "PYTHON"))}


def test_the_wheel_holds_every_file_of_the_program_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = {path for folder in CODE for path in (ROOT / folder).rglob("*") if path.is_file()}
    assert held == {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}
    assert wheel.name == f"trial_orchestrator-{PROJECT['version']}-py3-none-any.whl"


def test_the_installed_wheel_runs_a_search(wheel: Path, tmp_path: Path) -> None:
    """A search runs from a folder of one's own, in an environment that has the wheel and what it depends on."""
    venv = tmp_path / "venv"
    call(sys.executable, "-m", "venv", "--without-pip", str(venv), folder=tmp_path)
    (packages,) = venv.glob("lib/python3*/site-packages")
    call(
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--target",
        str(packages),
        str(wheel),
        folder=tmp_path,
    )
    # What it depends on is lent by the environment of the tests, in which `.pth` files, such as that of the checkout,
    # do not count.
    (packages / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python, orchestrator = str(venv / "bin" / "python"), str(packages / "bin" / "orchestrator")
    where = call(
        python, "-c", "import orchestrator, tasks; print(orchestrator.__path__, tasks.__path__)", folder=tmp_path
    )
    assert str(ROOT) not in where

    assert call(python, orchestrator, "--version", folder=tmp_path).split()[-1] == PROJECT["version"]
    call(python, orchestrator, "init", "mine", folder=tmp_path)
    done = call(python, orchestrator, "run", "search.toml", "--trials", "2", "--slots", "1", folder=tmp_path / "mine")
    assert "2 ended" in done


def call(*words: str, folder: Path) -> str:
    """Returns what a program prints that ends well."""
    done = subprocess.run(
        words, cwd=folder, env=clean_environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
