"""The files of the user's own modules: those that import statements lead to, and that no package installs."""

from __future__ import annotations

import ast
import functools
import keyword
import os
import re
import site
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from importlib.machinery import PathFinder
from pathlib import Path

from orchestrator.common.errors import BadInput
from tasks.import_statements import file_of, imported_modules, package_of, parse_source, read_file
from tasks.objective_path import holds

_PROGRAM = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_OURS = ("tasks", "orchestrator")
_TAKEN = (*_OURS, "__main__")
"""Names that no module of the user's may have on a worker."""


class OwnModules:
    """Collects files.

    Args:
        where: Begins every message.
        roots: Folders in which the user's modules are looked for first, as Python does beside a script.

    Attributes:
        files: Bytes by the path in the bundle; ``paths`` are where they lie here.
    """

    def __init__(self, where: str, roots: Sequence[str]) -> None:
        self._where = where
        self._roots = [os.path.abspath(root) for root in roots]
        self._looked: set[str] = set()
        self.files: dict[str, bytes] = {}
        self.paths: dict[str, Path] = {}

    def put(self, module: str, text: bytes, *, is_package: bool = False) -> None:
        """Puts the source of a module into the bundle, whatever file it is from."""
        self._looked.add(module)
        self.files[_path_of(module, is_package)] = text

    def follow(self, tree: ast.AST, package: str) -> None:
        """Adds the modules that the import statements of a source lead to, and those that these lead to.

        Raises:
            BadInput: one of them is compiled.
        """
        self.add(imported_modules(tree, package))

    def add(self, modules: Iterable[str]) -> None:
        """Adds modules, their packages, and what their import statements lead to; installed ones are left out."""
        waiting = list(modules)
        while waiting:
            name = waiting.pop()
            if name in self._looked:
                continue
            self._looked.add(name)
            path = self._file(name)
            if path is None or (raw := read_file(path)) is None:
                continue
            if not path.endswith(".py"):
                remedy = "install it on the workers, as a package"
                raise BadInput(self._where, f"imports '{name}', which is compiled ({os.path.basename(path)})", remedy)
            is_package = os.path.basename(path) == "__init__.py"
            self.files[_path_of(name, is_package)] = raw
            self.paths[_path_of(name, is_package)] = Path(path)
            waiting += [parent for parent, dot, _ in [name.rpartition(".")] if dot]
            if (tree := parse_source(raw, path)) is not None:
                waiting += imported_modules(tree, package_of(name, path))

    def _file(self, module: str) -> str | None:
        """Returns the file of a module of the user's own; ``None`` for any other."""
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names:
            return None
        path = self._beside(module) or file_of(module)
        return path if path is not None and is_users(module, path) else None

    def _beside(self, module: str) -> str | None:
        folders = self._roots
        parts = module.split(".")
        for depth, part in enumerate(parts, 1):
            spec = PathFinder.find_spec(part, folders)
            if spec is None:
                return None
            if depth == len(parts):
                return spec.origin if spec.has_location else None
            folders = list(spec.submodule_search_locations or ())
            if not folders:
                return None
        return None


def is_own(path: str) -> bool:
    """Whether a file is neither Python's own nor in a folder for installed packages."""
    if not os.path.isfile(path):
        return False
    for folder in _installed_folders(tuple(sys.path)):
        if holds(folder, path) or os.path.dirname(path) == folder:
            return False
    return holds(os.path.dirname(path), path) and not any(
        name in path.split(os.sep) for name in ("site-packages", "dist-packages")
    )


def is_users(module: str, path: str) -> bool:
    """Whether a module of this file is the user's own: it is neither installed nor of this program."""
    path = os.path.abspath(path)
    return is_own(path) and not (module.partition(".")[0] in _OURS and holds(_PROGRAM, path))


def root_of(module: str, file: str) -> str:
    """Returns the folder that has to be on the import path for a module of this file."""
    depth = module.count(".") + (1 if os.path.basename(file) == "__init__.py" else 0)
    folder = os.path.dirname(os.path.abspath(file))
    for _ in range(depth):
        folder = os.path.dirname(folder)
    return folder


def module_name(stem: str, roots: Sequence[str]) -> str:
    """Returns a name for the module of a script: that of its file, unless another module has it or none can."""
    name = re.sub(r"\W", "_", stem, flags=re.ASCII) or "script"
    name = f"_{name}" if name[0].isdigit() else name
    elsewhere = [entry for entry in sys.path if os.path.abspath(entry) not in [os.path.abspath(root) for root in roots]]
    while keyword.iskeyword(name) or name in sys.stdlib_module_names or name in _TAKEN or _is_found(name, elsewhere):
        name += "_script"
    return name


def _is_found(name: str, path: list[str]) -> bool:
    spec = PathFinder.find_spec(name, path)
    # A plain folder of that name, such as that of the project, is no module until it is imported.
    return spec is not None and spec.origin is not None


def _path_of(module: str, is_package: bool) -> str:
    return module.replace(".", "/") + ("/__init__.py" if is_package else ".py")


@functools.lru_cache(maxsize=4)
def _installed_folders(path: tuple[str, ...]) -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = [paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders += [*site.getsitepackages(), site.getusersitepackages()]
    # What `pip install --target` has filled.
    folders += [entry for entry in path if entry and _holds_distributions(entry)]
    return tuple(dict.fromkeys(folders))


def _holds_distributions(folder: str) -> bool:
    try:
        return any(name.endswith(".dist-info") for name in os.listdir(folder))
    except OSError:
        return False
