"""Checks that a run's data folder can be used, and was not deleted: open files live on without a name, so no error
says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.common.errors import BadInput, OrchestratorError
from orchestrator.common.settings import PREFIX, Settings
from tasks.data_folder import WORKERS_FOLDERS, obstacle

FOLDERS = ("redis", "redis/appendonlydir", "guests", "checkpoints", "artifacts", *WORKERS_FOLDERS)
FILES = ("lock", "lock.study", "run.json", "studies.db", "redis/server.conf", "redis/server.log")


def check_contents(folder: Path, settings: Settings) -> None:
    """Checks that what is in a data folder is what a `run` keeps there, and is this user's.

    Raises:
        BadInput: a name is taken by something else, or by another user.
    """
    elsewhere = {
        "redis": settings.redis_url,
        "studies.db": settings.storage_url,
        "checkpoints": settings.checkpoint_url,
        "artifacts": settings.artifact_url,
    }
    for name in (*FOLDERS, *FILES):
        if elsewhere.get(name.partition("/")[0]) is None and (why := obstacle(folder / name, folder=name in FOLDERS)):
            remedy = f"move it away, or choose another folder with {PREFIX}DATA_DIR"
            raise BadInput(str(folder / name), why, remedy)


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
