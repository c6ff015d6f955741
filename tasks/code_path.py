"""Puts the user's folders on the import path, so that none of their files replaces a module of this program.

A folder of the user's may hold a ``tasks.py``, a ``celery.py`` or a ``random.py``. Code in that folder imports them, as
under ``python train.py``; libraries and this program import their own modules.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import importlib
import os
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FrameType, ModuleType

from tasks.objective_path import OBJECTIVES_OF_OURS, holds, within

REMEDY = "rename the file, or put it into a package of your own"
DISTRIBUTION = "trial-orchestrator"
_IMPORTLIB = ("<frozen importlib", str(Path(importlib.__file__).parent) + os.sep)
_OURS = ("tasks", "orchestrator")
_IMPORT_NAME = dis.opmap["IMPORT_NAME"]


def add_code_folders(folders: Iterable[str | Path]) -> None:
    """Puts folders of user code first on the import path of this process.

    Start the process with ``python -P``: otherwise Python puts the working directory there first, and imports its files
    in the place of standard modules.
    """
    added = [str(folder) for folder in folders]
    sys.path[:] = [*added, *(entry for entry in sys.path if entry not in added)]
    finder = next((each for each in sys.meta_path if isinstance(each, _EnvironmentFirst)), None)
    if finder is None:
        sys.meta_path.insert(0, _EnvironmentFirst(added))
    else:
        finder.folders = list(dict.fromkeys([*added, *finder.folders]))


def replace_code_folders(before: Sequence[str], after: Sequence[str]) -> None:
    """Takes folders of user code off the import path, and puts others first on it."""
    sys.path[:] = [entry for entry in sys.path if entry not in before]
    add_code_folders(after)


def name_conflict(module: str, folders: Sequence[str | Path]) -> str:
    """Returns which other module has the name of a user module, in words; empty where it can be imported.

    Args:
        module: Dotted name of the user module.
        folders: Folders of user code.
    """
    name = module.partition(".")[0]
    if not _is_there(name, folders) or not name.isidentifier() or within(module, OBJECTIVES_OF_OURS):
        return ""
    if name in sys.stdlib_module_names:
        whose = "a module of Python's own"
    elif name in _OURS:
        whose = "" if _is_this_program(name, folders) else "a part of this program"
    else:
        # Last, for a search of the installed packages takes a moment.
        needed = _outside(name, map(str, folders)) is not None and name in _needed()
        whose = "a package that this program needs" if needed else ""
    return whose and f"'{name}' is also the name of {whose}, which is imported in its place"


class _EnvironmentFirst:
    """Finder before all others: imports that are not in user code, and do not ask for user code, skip its folders.

    What is not there either is then looked for in them, for a library may be given the name of a user's module; but not
    for a statement of Python's own modules or of a package that this program needs. It tries what another system has,
    or what may be installed, such as ``import _winapi``.

    Args:
        folders: Folders of user code.
    """

    def __init__(self, folders: list[str]) -> None:
        self.folders = folders

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if path is not None or name in sys.builtin_module_names:
            return None
        frame, by_name = sys._getframe(1), False
        while frame.f_back is not None and frame.f_code.co_filename.startswith(_IMPORTLIB):
            by_name |= frame.f_code.co_name == "import_module"
            frame = frame.f_back
        importer = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if (by_name and importer in _OURS) or self._is_users(frame.f_code.co_filename):
            return None
        spec = _outside(name, self.folders)
        if spec is None and _is_statement(frame) and _is_there(name, self.folders) and _is_ours_or_needed(importer):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return spec

    def _is_users(self, file: str) -> bool:
        return any(holds(os.path.abspath(folder), os.path.abspath(file)) for folder in self.folders)


def _is_statement(frame: FrameType) -> bool:
    """Whether the code is at an import statement: it says the name itself, and was not given it."""
    return frame.f_lasti >= 0 and frame.f_code.co_code[frame.f_lasti] == _IMPORT_NAME


def _is_ours_or_needed(package: str) -> bool:
    return package in sys.stdlib_module_names or package in _OURS or package in _needed()


def _is_there(name: str, folders: Iterable[str | Path]) -> bool:
    places = [os.path.join(folder, name) for folder in folders]
    return any(os.path.isdir(place) or os.path.isfile(f"{place}.py") for place in places)


def _outside(name: str, folders: Iterable[str]) -> ModuleSpec | None:
    """Finds a module outside of the user's folders."""
    without = {*folders, "", os.curdir}
    path = [entry for entry in sys.path if entry not in without]
    for finder in sys.meta_path:
        if isinstance(finder, _EnvironmentFirst):
            continue
        # An editable installation has a finder of its own. The import itself reports a broken one.
        with contextlib.suppress(Exception):
            if (spec := finder.find_spec(name, path if finder is PathFinder else None)) is not None:
                return spec
    return None


def _is_this_program(name: str, folders: Sequence[str | Path]) -> bool:
    """Whether one of the folders holds this program itself."""
    file = getattr(sys.modules.get(name) or importlib.import_module(name), "__file__", None)
    return file is not None and any(holds(os.path.abspath(folder), file) for folder in folders)


@functools.cache
def _needed() -> frozenset[str]:
    """Returns the modules of all distributions that this program requires, directly or not."""
    from importlib.metadata import PackageNotFoundError, packages_distributions, requires

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    wanted, waiting = set[str](), [DISTRIBUTION]
    while waiting:
        each = waiting.pop()
        try:
            lines = requires(each) or []
        except PackageNotFoundError:
            continue
        for line in lines:
            requirement = Requirement(line)
            plain = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if plain and (name := canonicalize_name(requirement.name)) not in wanted:
                wanted.add(name)
                waiting.append(name)
    return frozenset(
        module
        for module, distributions in packages_distributions().items()
        if wanted.intersection(map(canonicalize_name, distributions))
    )
