"""Throwing away files that nobody needs any more; workers write them, the control plane knows their use."""

from __future__ import annotations

import contextlib
import logging
import posixpath
import queue
import threading
from collections.abc import Callable

import fsspec

log = logging.getLogger(__name__)


class Bin:
    """Deletes in a thread of its own: a remote store must not hold up decisions.

    What cannot be deleted, because this host does not reach the store, is said once and left; it costs space, no more.

    Args:
        url: The store: a folder, or a URL that fsspec knows.
        what: One of what lies in it, for messages.
    """

    def __init__(self, url: str, what: str) -> None:
        self._files, self._root = fsspec.core.url_to_fs(url)
        self._what = what
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._complained = False
        self._thread = threading.Thread(target=self._run, name="bin", daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        """Whether everything is deleted that was thrown away, as far as it can be."""
        return not self._jobs.unfinished_tasks

    def close(self, timeout: float = 5.0) -> None:
        """Ends the thread when it has done what it was told, or after ``timeout`` seconds."""
        self._jobs.put(None)
        self._thread.join(timeout)

    def _delete(self, location: str, *, recursive: bool = False) -> None:
        path = posixpath.join(self._root, location)
        with contextlib.suppress(FileNotFoundError):
            self._files.rm(path, recursive=recursive)

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


class CheckpointBin(Bin):
    """Where checkpoints are thrown.

    Args:
        url: What ``ORCHESTRATOR_CHECKPOINT_URL`` names.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, "a checkpoint")

    def throw(self, location: str) -> None:
        """Deletes a checkpoint, by its location relative to the root."""
        self._jobs.put(lambda: self._delete(location))

    def throw_study(self, uid: str) -> None:
        """Deletes whatever is left of a study's checkpoints: also what was written and never announced."""
        self._jobs.put(lambda: self._delete(uid, recursive=True))
