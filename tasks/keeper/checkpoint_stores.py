"""Stores for checkpoints: a folder that workers share, or a store elsewhere that is reached by copying.

``ORCHESTRATOR_CHECKPOINT_URL`` names it: a path or ``file://`` URL, or a URL that fsspec knows. Only the control plane
deletes checkpoints.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Protocol

from tasks.codec import is_location
from tasks.contract import Checkpoint, CheckpointRef, Finished, Job, Outcome, Stopped
from tasks.keeper.file_store import RemoteFiles, ScratchFolder, local_folder
from tasks.keeper.upload_queue import EventSink, RunnerEnd, Upload, UploadQueue, publish_end
from tasks.trainer_messages import CheckpointSaved
from tasks.trial_files import UNFINISHED, file_digest

log = logging.getLogger(__name__)


class CheckpointStore(Protocol):
    """The checkpoints of one keeper. Its methods are called in the keeper's main thread."""

    def begin(self, job: Job, runner: str) -> Path:
        """Returns the folder that a trainer saves into."""

    def fetch(self, job: Job, runner: str) -> tuple[str, ...]:
        """Returns the job's checkpoints as local paths, in their order; empty for one that is not available."""

    def keep(self, job: Job, runner: str, saved: CheckpointSaved) -> None:
        """Stores a checkpoint that a trainer has saved, and publishes it once every worker can read it."""

    def finish(self, runner: str, outcome: Outcome) -> None:
        """Publishes a runner's outcome behind its checkpoints; does not wait for that."""

    @property
    def pending(self) -> bool:
        """Whether an upload is pending."""

    def close(self, timeout: float) -> None:
        """Waits at most ``timeout`` seconds for pending uploads, then gives them up."""


class FolderStore:
    """A folder that workers share: the trainer writes right into it, and nothing is copied.

    Args:
        root: The folder.
        events: Takes the events.
    """

    pending = False

    def __init__(self, root: Path, events: EventSink) -> None:
        self._root = root
        self._events = events

    def begin(self, job: Job, runner: str) -> Path:  # noqa: ARG002
        folder = self._root / _folder_of(job)
        # Left by a trainer that was killed while it saved. The save of one that still runs, cut off from its keeper,
        # fails by this; its events are fenced anyway.
        with contextlib.suppress(OSError):
            for left in folder.glob(f"*{UNFINISHED}"):
                left.unlink(missing_ok=True)
        return folder

    def fetch(self, job: Job, runner: str) -> tuple[str, ...]:  # noqa: ARG002
        return tuple(str(self._root / ref.location) for ref in job.checkpoints)

    def keep(self, job: Job, runner: str, saved: CheckpointSaved) -> None:
        if ref := _reference(job, saved):
            self._events.publish(runner, Checkpoint(ref=ref))

    def finish(self, runner: str, outcome: Outcome) -> None:
        publish_end(self._events, runner, outcome)

    def close(self, timeout: float) -> None:
        """Does nothing: no upload is ever pending."""


class RemoteStore:
    """A store that fsspec knows: checkpoints are uploaded beside the training and downloaded before it.

    A checkpoint is announced when its upload is complete, and its name is used once. So a single put is enough,
    whether or not the store shows a file while it is being written.

    Args:
        url: URL of the store.
        scratch: Folder for the scratch folders of all keepers of this data folder.
        events: Takes the events.
    """

    def __init__(self, url: str, scratch: Path, events: EventSink) -> None:
        self._files = RemoteFiles(url)
        self._scratch = ScratchFolder(scratch)
        self._events = events
        # A client of its own: the queue's thread uploads while the main thread downloads.
        self._uploads = UploadQueue("uploads", RemoteFiles(url).put)

    @property
    def pending(self) -> bool:
        return self._uploads.pending

    def begin(self, job: Job, runner: str) -> Path:  # noqa: ARG002
        # One for each runner: files of the one before are still being uploaded while this one saves.
        return self._scratch.path / runner

    def fetch(self, job: Job, runner: str) -> tuple[str, ...]:
        paths = [""] * len(job.checkpoints)
        for index, ref in enumerate(job.checkpoints):
            path = self._scratch.path / runner / f"fetched-{index}"
            if self._download(ref, path):
                # Older ones are only needed where this one cannot be read.
                paths[index] = str(path)
                break
        return tuple(paths)

    def keep(self, job: Job, runner: str, saved: CheckpointSaved) -> None:
        ref = _reference(job, saved)
        if ref is None:
            return
        label = f"checkpoint {ref.location}"

        def failed(problem: str) -> None:
            log.error("%s is given up: %s", label, problem, extra={"action": "upload_failed", "token": job.token})

        def done() -> None:
            self._events.publish(runner, Checkpoint(ref=ref))

        path = self._scratch.path / runner / saved.file
        self._uploads.add(Upload(runner, job.token, path, ref.location, label, (runner,), done, failed))

    def finish(self, runner: str, outcome: Outcome) -> None:
        folder = self._scratch.path / runner
        if isinstance(outcome, Finished | Stopped):
            # No attempt goes on from its checkpoints, so its end need not wait for them.
            self._uploads.drop(runner)
            publish_end(self._events, runner, outcome)
            self._uploads.add(RunnerEnd(runner, folder, lambda: None))
        else:
            self._uploads.add(RunnerEnd(runner, folder, lambda: publish_end(self._events, runner, outcome)))

    def close(self, timeout: float) -> None:
        self._uploads.close(timeout)
        self._scratch.remove()

    def _download(self, ref: CheckpointRef, path: Path) -> bool:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._files.get(ref.location, path)
            if path.stat().st_size == ref.size and file_digest(path) == ref.digest:
                return True
            problem = "its size or digest differs"
        except Exception as error:  # a store may raise anything
            problem = f"{type(error).__name__}: {error}"
        log.warning("checkpoint %s could not be fetched: %s", ref.location, problem, extra={"action": "fetch_failed"})
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        return False


def open_store(url: str, scratch: Path, events: EventSink) -> CheckpointStore:
    """Returns the store at ``url``.

    Args:
        url: URL of the store.
        scratch: Folder of this host for files on their way to or from a store elsewhere.
        events: Takes the events.
    """
    folder = local_folder(url)
    return RemoteStore(url, scratch, events) if folder is None else FolderStore(folder, events)


def _folder_of(job: Job) -> str:
    """Returns the location of a trial's checkpoints."""
    return f"{job.uid}/{job.trial:05d}"


def _reference(job: Job, saved: CheckpointSaved) -> CheckpointRef | None:
    """Returns what is published of a saved checkpoint; ``None`` where its file name is not a name of ours.

    User code shares a process with what named it, and an event that the control plane refuses would leave a gap that
    nothing closes.
    """
    location = f"{_folder_of(job)}/{saved.file}"
    if "/" in saved.file or not is_location(location):
        log.error("trial %d saved a checkpoint as %r", job.trial, saved.file, extra={"action": "bad_checkpoint"})
        return None
    return CheckpointRef(step=saved.step, location=location, digest=saved.digest, size=saved.size)
