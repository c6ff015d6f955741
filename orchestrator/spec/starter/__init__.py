"""A first search: a spec and an objective that run as they are, to be replaced piece by piece."""

from __future__ import annotations

import contextlib
import itertools
import re
import sqlite3
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Final
from urllib.parse import quote

from orchestrator.common.advice import how_to
from orchestrator.common.errors import BadInput
from orchestrator.common.faults import Fault
from orchestrator.common.field_types import check_name

SPEC: Final = "search.toml"
OBJECTIVE: Final = "train.py"
_HERE: Final = Path(__file__).parent
_COMMENTS_AT: Final = 34
_NAME: Final = re.compile(r'^name = "starter" *(?=#)', re.MULTILINE)
_OBJECTIVE: Final = re.compile(r'^objective = "train:objective" *(?=#)', re.MULTILINE)
DATA_FOLDER, DATABASE = ".orchestrator", "studies.db"
"""Where `run` keeps the studies of a folder, unless the settings say otherwise."""


def write(folder: Path) -> list[Path]:
    """Writes both files into a folder, which is made where it is missing; returns their paths, the spec first.

    The study is called as the folder is, where that can be a name and no study in the folder has it. The objective goes
    into ``train.py``, or where a file, a folder or an installed package has that name, into another module.

    Raises:
        BadInput: the spec is there already, and nothing was written; or the folder takes no files.
    """
    spec = folder / SPEC
    try:
        if spec.exists() or spec.is_symlink():
            remedy = f"'{how_to('validate', str(spec))}' checks it; choose another folder for a new one"
            raise BadInput(str(spec), "is there already, and stays as it is", remedy)
        folder.mkdir(parents=True, exist_ok=True)
        module = _free_module(folder)
        objective = folder / f"{module}.py"
        with objective.open("x") as file:
            file.write((_HERE / OBJECTIVE).read_text())
        with spec.open("x") as file:
            named = _NAME.sub(_line("name", _free_name(folder)), (_HERE / SPEC).read_text())
            file.write(_OBJECTIVE.sub(_line("objective", f"{module}:objective"), named))
    except FileExistsError:
        raise BadInput(str(folder), "is no folder", "choose another name") from None
    except OSError as error:
        raise BadInput(str(folder), f"takes no files: {error.strerror}", "choose another folder") from None
    return [spec, objective]


def _free_module(folder: Path) -> str:
    """Returns the name of a module that is in none of the user's folders, and hides no installed one."""
    first = Path(OBJECTIVE).stem
    names = itertools.chain([first, f"search_{first}"], (f"search_{first}_{number}" for number in itertools.count(2)))
    elsewhere = [entry for entry in sys.path if Path(entry or ".").resolve() != folder.resolve()]
    return next(
        name
        for name in names
        if not any(path.exists() or path.is_symlink() for path in (folder / name, folder / f"{name}.py"))
        and PathFinder.find_spec(name, elsewhere) is None
    )


def _free_name(folder: Path) -> str:
    """Returns a name of a study that the folder's database does not hold."""
    name = folder.resolve().name
    try:
        check_name(name)
    except Fault:
        name = "starter"
    taken = _studies_in(folder)
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(each for each in names if each not in taken)


def _studies_in(folder: Path) -> set[str]:
    """Returns the names of the studies that `run` keeps in this folder, as far as they can be read."""
    path = folder.resolve() / DATA_FOLDER / DATABASE
    if not path.is_file():
        return set()
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as database:
            return {name for (name,) in database.execute("SELECT study_name FROM studies")}
    except sqlite3.Error:
        return set()


def _line(key: str, value: str) -> str:
    return f'{key} = "{value}"'.ljust(_COMMENTS_AT - 1) + " "
