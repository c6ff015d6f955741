"""Throwing away checkpoint files that nobody needs any more; workers write them, the control plane knows their use."""

from __future__ import annotations

import logging
import posixpath
import queue
import threading

import fsspec

log = logging.getLogger(__name__)


class CheckpointBin:
    """Deletes in a thread of its own: a remote store must not hold up decisions.

    What cannot be deleted, because this host does not reach the store, is said once and left; it costs space, no more.

    Args:
        url: What ``ORCHESTRATOR_CHECKPOINT_URL`` names: a folder, or a URL that fsspec knows.
    """

    def __init__(self, url: str) -> None:
        self._files, self._root = fsspec.core.url_to_fs(url)
        self._jobs: queue.SimpleQueue[tuple[str, bool] | None] = queue.SimpleQueue()
        self._complained = False
        self._thread = threading.Thread(target=self._run, name="checkpoint bin", daemon=True)
        self._thread.start()

    def throw(self, location: str) -> None:
        """Deletes a checkpoint, by its location relative to the root."""
        self._jobs.put((location, False))

    def throw_study(self, uid: str) -> None:
        """Deletes whatever is left of a study's checkpoints: also what was written and never announced."""
        self._jobs.put((uid, True))

    def close(self, timeout: float = 5.0) -> None:
        """Ends the thread when it has done what it was told, or after ``timeout`` seconds."""
        self._jobs.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            location, whole = job
            path = posixpath.join(self._root, location)
            try:
                self._files.rm(path, recursive=whole)
            except FileNotFoundError:
                continue
            except Exception as error:  # a store may raise anything, and none of it may end the thread
                if not self._complained:
                    log.warning("checkpoint %s cannot be deleted: %s", path, error, extra={"action": "bin_failed"})
                    self._complained = True
