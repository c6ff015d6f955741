"""The code that a trainer works with: the worker's own folders, or one code bundle at a time.

A warm trainer goes from the trial of one study to that of another one. Before it does, the modules of the code that it
leaves are put aside, and those of the code that it comes to are put back; installed packages stay where they are.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple

from tasks.code_path import replace_code_folders
from tasks.objective_path import holds

MOST_KEPT: Final = 8
"""Code bundles whose modules are kept aside; those that were left first are forgotten, and imported anew."""

_NEVER: Final = ("__main__", "tasks", "orchestrator")
"""The process itself, and this program."""

Folders = tuple[str, ...]


class _Aside(NamedTuple):
    """A code that was put aside: its modules by name, and its part of the import path."""

    modules: dict[str, ModuleType]
    path: list[str]


class CodeBase:
    """Switches the modules and the import path of this process.

    Args:
        folders: The worker's own folders of user code, which are on the import path when this is made.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._own: Folders = tuple(map(str, folders))
        self._current = self._own
        # A worker may have been started in a folder that holds Python itself, such as the root.
        self._of_all = {entry for entry in sys.path if entry not in self._own}
        self._aside: OrderedDict[Folders, _Aside] = OrderedDict()

    def enter(self, folders: Sequence[str]) -> bool:
        """Makes the code of a bundle the code of this process; returns whether that was another one before.

        Args:
            folders: The import folders of the bundle; none for the worker's own.
        """
        wanted = tuple(folders) or self._own
        if wanted == self._current:
            return False
        self._aside[self._current] = leaving = _Aside(
            {name: module for name, module in list(sys.modules.items()) if self._is_of(name, module)},
            # With what the code itself has put there, such as a folder of its own.
            [entry for entry in sys.path if entry not in self._of_all and self._holds(entry)],
        )
        for name in leaving.modules:
            del sys.modules[name]
        coming = self._aside.pop(wanted, _Aside({}, list(wanted)))
        replace_code_folders(leaving.path, coming.path)
        sys.modules.update(coming.modules)
        self._current = wanted
        while len(self._aside) > MOST_KEPT:
            self._aside.popitem(last=False)
        importlib.invalidate_caches()
        return True

    def _is_of(self, name: str, module: ModuleType) -> bool:
        """Whether a module is of the current code."""
        top = name.partition(".")[0]
        if top in _NEVER or top in sys.stdlib_module_names:
            return False
        try:
            file = getattr(module, "__file__", None)
            # A folder without an __init__.py has no file.
            places = [file] if file else list(getattr(module, "__path__", ()))
        except Exception:  # a lazy module may load, at any access, what is not there
            return False
        # A relative place is no file: torch.ops, which cannot be imported again, says of itself '_ops.py'.
        return any(self._holds(place) for place in places if isinstance(place, str) and os.path.isabs(place))

    def _holds(self, place: str) -> bool:
        return any(place == folder or holds(folder, os.path.abspath(place)) for folder in self._current)
