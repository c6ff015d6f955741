"""The files that [code] include names, without those that ``.gitignore`` or exclude leave out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pathspec import GitIgnoreSpec

from orchestrator.common.errors import BadInput, reason_of
from tasks.code_bundle import LARGEST, MOST_FILES

ALWAYS_LEFT_OUT = (
    *(".git", ".hg/", ".svn/", "__pycache__/", "*.pyc", ".ipynb_checkpoints/", ".orchestrator/"),
    *(".mypy_cache/", ".pytest_cache/", ".ruff_cache/", "node_modules/", ".DS_Store"),
)
_ENVIRONMENT = "pyvenv.cfg"
_WILD = "*?["


class IncludedFiles:
    """Finds files below one folder.

    Args:
        where: Begins every message.
        root: The folder that all paths are relative to.
        exclude: Patterns as in a ``.gitignore``.
    """

    def __init__(self, where: str, root: Path, exclude: Sequence[str] = ()) -> None:
        self._where = where
        self._root = root.resolve()
        try:
            self._exclude = GitIgnoreSpec.from_lines([*ALWAYS_LEFT_OUT, *exclude])
        except ValueError as error:
            raise BadInput("code.exclude", f"is not as in a .gitignore: {error}", "mend it or leave it out") from None
        self._ignores: dict[Path, GitIgnoreSpec | None] = {}
        self._top = self._git_top()
        self._size = 0
        self.files: dict[str, bytes] = {}
        self.folders: list[str] = []

    def add(self, entries: Iterable[str]) -> None:
        """Adds what the entries name to ``files``, by the path below the root, and to ``folders`` where an import finds
        the packages and modules among them.

        Raises:
            BadInput: an entry names nothing, leads out of the root, or cannot be read.
        """
        for entry in entries:
            found = list(self._named(entry))
            if not found:
                problem = f"there is no '{entry}' in {self._root}"
                raise BadInput(self._where, problem, "name what is there, or its folder as 'root'")
            before = len(self.files)
            for path in found:
                self._add(path)
                self._add_folders(path)
            if len(self.files) == before and not any(self._known(path) for path in found):
                problem = f"'{entry}' holds no file but what .gitignore or exclude leave out"
                raise BadInput(self._where, problem, "name other files")

    def _named(self, entry: str) -> Iterator[Path]:
        if any(character in entry for character in _WILD):
            try:
                yield from sorted(Path(os.path.normpath(path)) for path in self._root.glob(entry))
            except (ValueError, NotImplementedError) as error:
                raise BadInput(self._where, f"'{entry}' is no pattern: {error}") from None
            return
        path = Path(os.path.normpath(self._root / entry))
        if os.path.lexists(path):
            yield path

    def _known(self, path: Path) -> bool:
        name = self._name_of(path)
        return name in self.files or any(each.startswith(f"{name}/") for each in self.files)

    def _name_of(self, path: Path) -> str:
        try:
            name = path.relative_to(self._root).as_posix()
        except ValueError:
            problem = f"'{path}' is not below {self._root}"
            raise BadInput(self._where, problem, "name a folder above both as 'root'") from None
        return "" if name == "." else name

    def _add(self, path: Path) -> None:
        name = self._name_of(path)
        try:
            if name and self._is_left_out(path, name):
                return
            # Of links that lead in a circle realpath gives one of them, where resolve raises.
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(self._root):
                problem = f"'{name}' is a link that leads out of {self._root}"
                raise BadInput(self._where, problem, "put the file there, or leave it out by exclude")
            if path.is_dir():
                if path.is_symlink() or (path / _ENVIRONMENT).is_file():
                    # A link to a folder may lead in a circle; what it leads to is named by itself.
                    return
                for child in sorted(path.iterdir()):
                    self._add(child)
            elif path.is_file() and name not in self.files:
                if len(self.files) >= MOST_FILES:
                    raise BadInput(self._where, f"there are more than {MOST_FILES} files", "leave some out by exclude")
                # Before it is read: it may be larger than the memory.
                self._size += path.stat().st_size
                if self._size > LARGEST:
                    problem = f"with '{name}' there are more than {LARGEST >> 20} MiB"
                    raise BadInput(self._where, problem, "leave large files out by exclude")
                self.files[name] = path.read_bytes()
        except OSError as error:
            raise BadInput(self._where, f"'{name}' cannot be read: {reason_of(error)}") from None

    def _add_folders(self, path: Path) -> None:
        """Notes where an import finds what was added: beside the topmost package, or in a folder that is none."""
        folder = path if path.is_dir() else path.parent
        while (folder / "__init__.py").is_file() and folder != self._root:
            folder = folder.parent
        for each in (folder, self._root):
            name = self._name_of(each)
            if name not in self.folders:
                self.folders.append(name)

    def _is_left_out(self, path: Path, name: str) -> bool:
        as_folder = "/" if path.is_dir() and not path.is_symlink() else ""
        if self._exclude.match_file(name + as_folder):
            return True
        # Of several files that say something the one in the nearest folder counts.
        for folder in (*path.parents,):
            spec = self._ignore_of(folder)
            if spec is not None:
                found = spec.check_file(path.relative_to(folder).as_posix() + as_folder).include
                if found is not None:
                    return bool(found)
            if folder == self._top:
                return False
        return False

    def _ignore_of(self, folder: Path) -> GitIgnoreSpec | None:
        if folder not in self._ignores:
            try:
                lines = (folder / ".gitignore").read_text(errors="replace").splitlines()
                self._ignores[folder] = GitIgnoreSpec.from_lines(filter(_is_pattern, lines))
            except OSError:
                self._ignores[folder] = None
        return self._ignores[folder]

    def _git_top(self) -> Path:
        """Returns the folder above which no ``.gitignore`` counts: that of the repository, or the root."""
        for folder in (self._root, *self._root.parents):
            if (folder / ".git").exists():
                return folder
        return self._root


def _is_pattern(line: str) -> bool:
    """Whether git heeds a line of a ``.gitignore``: it passes over one that is no pattern."""
    with contextlib.suppress(ValueError):
        GitIgnoreSpec.from_lines([line])
        return True
    return False
