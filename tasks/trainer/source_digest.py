"""Digest of an objective's source, and detection of changes to user code in this process.

The digest covers the objective's module and all user modules that its import statements lead to, those inside functions
too. It is read from the files alone, so every trainer that finds the same files has the same digest. Changes are
detected in every user module that was imported, by whatever means.

The user's modules are those in the folders of the objective path and in the working directory, those beside an
objective, and those of its top-level package; installed packages are not, unless the objective lives in one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from tasks.import_statements import file_of, imported_modules, package_of, parse_source, read_file
from tasks.objective_path import OBJECTIVES_OF_OURS, holds, is_ours, within

DIGEST_BYTES = 32


@dataclass(slots=True)
class _Seen:
    """The state of a file when the import of its module was noticed."""

    path: str
    stamp: tuple[int, ...]
    digest: bytes


class SourceTracker:
    """Tracks the user modules of this process.

    Args:
        folders: Folders of user code.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = [str(folder) for folder in folders]
        self._packages: list[str] = []
        self._known: set[str] = set()
        self._seen: dict[str, _Seen] = {}

    def take(self, module: str) -> str:
        """Returns the digest (BLAKE2b, hex) of the source of the objective in ``module``, which was just imported.

        It covers the names and bytes of its modules, sorted by name. A module that cannot be read has no bytes.
        """
        self._belongs(module)
        self.watch()
        result = blake2b(digest_size=DIGEST_BYTES)
        for name, path in sorted(self._closure(module).items()):
            source = read_file(path) or b""
            result.update(f"{name}\0{len(source)}\0".encode())
            result.update(source)
        return result.hexdigest()

    def watch(self) -> None:
        """Notes the modules that were imported since the last call."""
        new = sys.modules.keys() - self._known
        self._known |= new
        for name in new:
            path = getattr(sys.modules.get(name), "__file__", None)
            if isinstance(path, str) and self._is_the_users(name, path) and (seen := _look(path)):
                self._seen[name] = seen

    def changed(self) -> str:
        """Returns the name of a module whose file differs from what was imported, or nothing.

        A file is read only where its times, its size or its inode have changed.
        """
        self.watch()
        for name, seen in self._seen.items():
            if _stamp(seen.path) == seen.stamp:
                continue
            now = _look(seen.path)
            if now is None or now.digest != seen.digest:
                return name
            seen.stamp = now.stamp
        return ""

    def __len__(self) -> int:
        return len(self._seen)

    def _belongs(self, module: str) -> None:
        """Counts the objective's package as user code, and the modules beside it unless it is installed."""
        top = OBJECTIVES_OF_OURS if within(module, OBJECTIVES_OF_OURS) else module.partition(".")[0]
        if top in self._packages:
            return
        self._packages.append(top)
        file = file_of(top)
        if file and top != OBJECTIVES_OF_OURS:
            folder = Path(file).parent.parent if Path(file).stem == "__init__" else Path(file).parent
            if holds(str(folder.parent), str(folder)) and str(folder) not in (*self._folders, *_STANDARD):
                self._folders.append(str(folder))
        # Modules that were imported before count as well.
        self._known -= {name for name in self._known if name not in self._seen}

    def _is_the_users(self, module: str, path: str) -> bool:
        if any(within(module, package) for package in self._packages):
            return True
        if is_ours(module) or module == "__main__" or module.partition(".")[0] in sys.stdlib_module_names:
            return False
        return any(holds(folder, path) for folder in self._folders)

    def _closure(self, module: str) -> dict[str, str]:
        """Returns the user modules, as name and path, that the import statements of ``module`` lead to."""
        found: dict[str, str] = {}
        waiting = [module]
        looked = set()
        while waiting:
            name = waiting.pop()
            if name in looked:
                continue
            looked.add(name)
            path = file_of(name)
            if path is None or not self._is_the_users(name, path):
                continue
            found[name] = path
            # An import runs the parent packages, too.
            waiting += [parent for parent, dot, _ in [name.rpartition(".")] if dot]
            if path.endswith(".py") and (tree := parse_source(read_file(path) or b"")) is not None:
                waiting += imported_modules(tree, package_of(name, path))
        return found


_STANDARD = (os.path.dirname(os.__file__),)


def _look(path: str) -> _Seen | None:
    # The stamp first: a file that changes in between is read again by the next check.
    stamp, source = _stamp(path), read_file(path)
    return None if source is None else _Seen(path, stamp, blake2b(source, digest_size=DIGEST_BYTES).digest())


def _stamp(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError:
        return ()
    # With ctime: a copy may set the modification time back.
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_ctime_ns
