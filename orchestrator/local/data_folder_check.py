"""Detects that a run's data folder was deleted: open files live on without a name, so no error says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.common.errors import OrchestratorError


class DataDeleted(OrchestratorError):
    """A file that a run works on was deleted or replaced while it ran."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path}: was deleted or replaced while the search ran, and what was kept there is lost; the same command "
            "goes on from what is left"
        )


class WatchedFiles:
    """The files that a run works on.

    Args:
        paths: Their paths.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._found = {path: _identity(path) for path in paths}

    def check(self) -> None:
        """Checks that each file is still in its place.

        Raises:
            DataDeleted: one is not.
        """
        for path, identity in self._found.items():
            if _identity(path) != identity:
                raise DataDeleted(path)

    @contextmanager
    def explaining(self, end: Callable[[], None]) -> Iterator[None]:
        """Raises ``DataDeleted`` instead of an error that follows from it, after it has called ``end``."""
        try:
            yield
            self.check()
        except Exception:
            try:
                self.check()
            except DataDeleted as error:
                end()
                raise error from None
            raise


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
