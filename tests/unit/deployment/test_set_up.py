"""``make`` sets up ``.venv``, and mends one that is half-made, has been moved, or is of another Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pip
import pytest

from tests.deployment import ROOT
from tests.installed import program

PYTHON = f"""#!/bin/sh
# Python, but quick: a new environment is lent the pip that is installed here.
case "$*" in
*"-m venv"*)
    "{sys.executable}" "$@" --without-pip && ln -s "{Path(pip.__file__).parent}" .venv/lib/python3*/site-packages ;;
*) exec "{sys.executable}" "$@" ;;
esac
"""
WITHOUT_ENSUREPIP = f"""#!/bin/sh
case "$*" in
*"-m venv"*) "{sys.executable}" "$@" --without-pip; echo "apt install python3-venv"; exit 1 ;;
*) exec "{sys.executable}" "$@" ;;
esac
"""
OF_ANOTHER_VERSION = PYTHON.replace('*"-m venv"*)', '*"version_info[:2]"*) echo "(3, 99)" ;;\n*"-m venv"*)')


class Clone:
    """A clone in which ``make`` sets up ``.venv``, while pip is called and installs nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "docker").mkdir(parents=True)
        (folder / "docker" / "constraints.txt").touch()
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy(ROOT / name, folder)

    @property
    def venv(self) -> Path:
        return self.folder / ".venv"

    @property
    def packages(self) -> Path:
        (found,) = self.venv.glob("lib/python3*/site-packages")
        return found

    def make(self, python: str = PYTHON) -> subprocess.CompletedProcess[str]:
        """Sets it up by a Python that does what this script does."""
        script = self.folder.parent / "python"
        script.write_text(python)
        script.chmod(0o755)
        return subprocess.run(
            [program("make"), ".venv/.installed", f"PYTHON={script}", "INSTALL=echo pip installs #"],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    made = Clone(tmp_path / "a clone of Zoë's")
    done = made.make()
    assert (done.returncode, "pip installs" in done.stdout) == (0, True), done.stderr
    (made.venv / "kept").touch()
    return made


def test_one_that_is_sound_is_left_alone(clone: Clone) -> None:
    done = clone.make()
    assert (done.returncode, "pip installs" in done.stdout) == (0, False), done.stdout
    (clone.folder / "pyproject.toml").touch()
    assert "pip installs" in clone.make().stdout
    assert (clone.venv / "kept").exists()


def lose_pip(clone: Clone) -> None:
    (clone.packages / "pip").unlink()


def lose_the_interpreter(clone: Clone) -> None:
    for each in clone.venv.glob("bin/python*"):
        each.unlink()
        each.symlink_to("/nowhere/python3")


def lose_everything(clone: Clone) -> None:
    shutil.rmtree(clone.venv)
    clone.venv.mkdir()


def lose_the_configuration(clone: Clone) -> None:
    (clone.venv / "pyvenv.cfg").unlink()


def move(clone: Clone) -> None:
    clone.folder = clone.folder.rename(clone.folder.with_name("elsewhere"))


BROKEN = (lose_pip, lose_the_interpreter, lose_everything, lose_the_configuration, move)


@pytest.mark.parametrize("harm", BROKEN, ids=[harm.__name__ for harm in BROKEN])
def test_one_that_cannot_be_built_on_is_made_anew(clone: Clone, harm: Callable[[Clone], None]) -> None:
    harm(clone)
    done = clone.make()
    assert (done.returncode, "pip installs" in done.stdout) == (0, True), done.stderr
    assert not (clone.venv / "kept").exists()
    assert str(clone.venv) in (clone.venv / "pyvenv.cfg").read_text()
    assert "pip installs" not in clone.make().stdout


def test_a_python_that_is_named_is_the_one_that_is_used(clone: Clone) -> None:
    assert "pip installs" in clone.make(OF_ANOTHER_VERSION).stdout
    assert not (clone.venv / "kept").exists()


def test_where_it_could_not_be_made_the_same_command_makes_it_later(tmp_path: Path) -> None:
    clone = Clone(tmp_path / "clone")
    done = clone.make(WITHOUT_ENSUREPIP)
    assert done.returncode != 0
    assert "apt install python3-venv" in done.stdout
    done = clone.make()
    assert (done.returncode, "pip installs" in done.stdout) == (0, True), done.stderr


def test_a_package_that_was_being_installed_is_installed_again(clone: Clone) -> None:
    """What pip has written last is the list of a package's files."""
    half, whole, empty = (clone.packages / f"{name}-1.0.dist-info" for name in ("half", "whole", "empty"))
    for package in (half, whole, empty):
        package.mkdir()
        (package / "METADATA").touch()
    (whole / "RECORD").write_text("whole.py,,\n")
    (empty / "RECORD").touch()
    (clone.venv / ".installed").unlink()
    done = clone.make()
    assert (done.returncode, "pip installs" in done.stdout) == (0, True), done.stderr
    assert [package.exists() for package in (half, whole, empty)] == [False, True, False]
    assert (clone.venv / "kept").exists()
