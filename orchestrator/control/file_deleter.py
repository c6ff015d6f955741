"""Deletion of files that are no longer needed; workers write them, the control plane knows their use."""

from __future__ import annotations

import contextlib
import logging
import posixpath
import queue
import threading
from collections.abc import Callable

import fsspec

from orchestrator.common.settings import Settings
from orchestrator.engine.outputs import Sweep

log = logging.getLogger(__name__)


def stores_of(settings: Settings) -> tuple[FileDeleter, FileDeleter]:
    """Returns the deleters of the checkpoint store and of the artifact store."""
    data_dir = settings.data_dir
    return (
        FileDeleter(settings.checkpoint_url or str(data_dir / "checkpoints"), "a checkpoint"),
        FileDeleter(settings.artifact_url or str(data_dir / "artifacts"), "an artifact"),
    )


class FileDeleter:
    """Deletes files of one store in a thread of its own: a remote store must not hold up decisions.

    What cannot be deleted, because this host does not reach the store, is logged once and left; it costs only space.

    Args:
        url: The store: a folder, or a URL that fsspec knows. Locations are relative to it.
        what: One of what lies in it, for messages.
    """

    def __init__(self, url: str, what: str) -> None:
        self._files, self._root = fsspec.core.url_to_fs(url)
        self._what = what
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._complained = False
        self._thread = threading.Thread(target=self._run, name="file-deleter", daemon=True)
        self._thread.start()

    def delete(self, location: str) -> None:
        """Deletes a file."""
        self._jobs.put(lambda: self._delete(location))

    def delete_folder(self, location: str) -> None:
        """Deletes a folder with all that is in it, also what was written and never announced."""
        self._jobs.put(lambda: self._delete(location, recursive=True))

    def sweep(self, sweep: Sweep) -> None:
        """Deletes the artifacts that attempts which have ended have left, and that are not recorded."""
        if sweep.attempts:
            self._jobs.put(lambda: self._sweep(sweep))

    @property
    def idle(self) -> bool:
        """Whether no deletion is pending."""
        return not self._jobs.unfinished_tasks

    def close(self, timeout: float = 5.0) -> None:
        """Ends the thread when it has done what it was told, or after ``timeout`` seconds."""
        self._jobs.put(None)
        self._thread.join(timeout)

    def _delete(self, location: str, *, recursive: bool = False) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._files.rm(posixpath.join(self._root, location), recursive=recursive)

    def _sweep(self, sweep: Sweep) -> None:
        self._files.invalidate_cache()
        names: list[str] = []
        with contextlib.suppress(FileNotFoundError):
            names = [posixpath.basename(path) for path in self._files.ls(self._root, detail=False)]
        for name in names:
            # An id is that of the attempt, a dash, and what makes it unique.
            if name not in sweep.kept and name.rpartition("-")[0] in sweep.attempts:
                self._delete(name)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception as error:  # a store may raise anything, and none of it may end the thread
                if not self._complained:
                    problem = f"{type(error).__name__}: {error}"
                    log.warning("%s cannot be deleted: %s", self._what, problem, extra={"action": "bin_failed"})
                    self._complained = True
            self._jobs.task_done()
