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
from typing import Final

from tasks.code_path import replace_code_folders
from tasks.objective_path import holds, is_ours

MOST_KEPT: Final = 8
"""Code bundles whose modules are kept aside; those that were left first are forgotten, and imported anew."""

Folders = tuple[str, ...]


class CodeBase:
    """Switches the modules and the import path of this process.

    Args:
        folders: The worker's own folders of user code, which are on the import path when this is made.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._own: Folders = tuple(map(str, folders))
        self._current = self._own
        self._aside: OrderedDict[Folders, dict[str, ModuleType]] = OrderedDict()

    def enter(self, folders: Sequence[str]) -> bool:
        """Makes the code of a bundle the code of this process; returns whether that was another one before.

        Args:
            folders: The import folders of the bundle; none for the worker's own.
        """
        wanted = tuple(folders) or self._own
        if wanted == self._current:
            return False
        self._aside[self._current] = leaving = {
            name: module for name, module in list(sys.modules.items()) if self._is_of(name, module)
        }
        for name in leaving:
            del sys.modules[name]
        replace_code_folders(self._current, wanted)
        self._current = wanted
        sys.modules.update(self._aside.pop(wanted, {}))
        while len(self._aside) > MOST_KEPT:
            self._aside.popitem(last=False)
        importlib.invalidate_caches()
        return True

    def _is_of(self, name: str, module: ModuleType) -> bool:
        """Whether a module is of the current code."""
        if is_ours(name) or name == "__main__":
            return False
        file = getattr(module, "__file__", None)
        # A folder without an __init__.py has no file.
        places = [file] if file else list(getattr(module, "__path__", ()))
        return any(
            holds(folder, os.path.abspath(place))
            for folder in self._current
            for place in places
            if isinstance(place, str)
        )
