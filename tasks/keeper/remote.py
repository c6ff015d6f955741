"""Checkpoints in a store elsewhere: uploaded beside the training, downloaded before it.

A checkpoint is announced when its upload is complete, and its name is used once. So a single put does, whether or not
the store makes it visible while it is being written: nobody knows of a torn one.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from tasks.checkpoint_files import file_digest
from tasks.contract import Checkpoint, CheckpointRef, Finished, Job, Outcome, Stopped
from tasks.keeper.checkpoints import EventSink, publish_end, reference
from tasks.keeper.file_store import RemoteFiles
from tasks.keeper.scratch import ScratchFolder
from tasks.regular_files import is_regular
from tasks.trainer_messages import CheckpointSaved

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 15.0
GIVE_UP_SECONDS = 60.0
"""How long one upload is tried again while the store is away; then the trial goes without that checkpoint."""


@dataclass(frozen=True)
class _Upload:
    token: str
    runner: str
    ref: CheckpointRef
    path: Path


@dataclass(frozen=True)
class _End:
    runner: str
    outcome: Outcome | None
    scratch: Path


class RemoteStore:
    """A store that fsspec knows.

    Args:
        url: Where it is.
        scratch: Folder for the scratch folders of all keepers of this data folder.
        voice: Says what is kept.
    """

    def __init__(self, url: str, scratch: Path, voice: EventSink) -> None:
        self._place = RemoteFiles(url)
        self._scratch = ScratchFolder(scratch)
        self._voice = voice
        self._uploader = _Uploader(RemoteFiles(url), voice)

    @property
    def pending(self) -> bool:
        return self._uploader.pending

    def begin(self, job: Job, runner: str) -> Path:  # noqa: ARG002
        # One for each runner: what the last one left is on its way out while this one saves.
        return self._scratch.path / runner

    def fetch(self, job: Job, runner: str) -> tuple[str, ...]:
        paths = [""] * len(job.checkpoints)
        for index, ref in enumerate(job.checkpoints):
            path = self._scratch.path / runner / f"fetched-{index}"
            if self._download(ref, path):
                # The ones before it would only be read if this one could not.
                paths[index] = str(path)
                break
        return tuple(paths)

    def keep(self, job: Job, runner: str, saved: CheckpointSaved) -> None:
        if ref := reference(job, saved):
            self._uploader.add(_Upload(job.token, runner, ref, self._scratch.path / runner / saved.file))

    def finish(self, runner: str, outcome: Outcome) -> None:
        scratch = self._scratch.path / runner
        if isinstance(outcome, Finished | Stopped):
            # Nobody goes on from its checkpoints, so its end need not wait for them.
            self._uploader.drop(runner)
            publish_end(self._voice, runner, outcome)
            self._uploader.add(_End(runner, None, scratch))
        else:
            self._uploader.add(_End(runner, outcome, scratch))

    def close(self, timeout: float) -> None:
        self._uploader.close(timeout)
        self._scratch.remove()

    def _download(self, ref: CheckpointRef, path: Path) -> bool:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._place.get(ref.location, path)
            if path.stat().st_size == ref.size and file_digest(path) == ref.digest:
                return True
            problem = "it is not what was saved"
        except Exception as error:  # a store may raise anything
            problem = f"{type(error).__name__}: {error}"
        log.warning("checkpoint %s could not be fetched: %s", ref.location, problem, extra={"action": "fetch_failed"})
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        return False


class _Uploader:
    """Uploads in a thread of its own, in order; what a runner says last is said there, behind its uploads."""

    def __init__(self, place: RemoteFiles, voice: EventSink) -> None:
        self._place = place
        self._voice = voice
        # The first entry is the one at hand, so that it counts as pending until it is done.
        self._queue: deque[_Upload | _End] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def pending(self) -> bool:
        return bool(self._queue)

    def add(self, item: _Upload | _End) -> None:
        with self._changed:
            self._queue.append(item)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="uploads", daemon=True)
                self._thread.start()
            self._changed.notify()

    def drop(self, runner: str) -> None:
        """Forgets a runner's uploads; the one at hand is not announced any more."""
        with self._changed:
            self._queue = deque(item for item in self._queue if item.runner != runner)
            self._changed.notify()

    def close(self, timeout: float) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(timeout)
        with self._changed:
            rest, self._queue = self._queue, deque()
            for item in rest:
                self._announce(item, uploaded=False)

    def _run(self) -> None:
        while (item := self._next()) is not None:
            try:
                uploaded = isinstance(item, _Upload) and self._upload(item)
                with self._changed:
                    # Dropped meanwhile: there is nothing to say about it any more.
                    if self._at_hand(item):
                        self._queue.popleft()
                        self._announce(item, uploaded=uploaded)
            except Exception:  # none of it may end the thread, on which the end of every trial waits
                log.exception("a checkpoint could not be announced", extra={"action": "upload_failed"})
                with self._changed:
                    if self._at_hand(item):
                        self._queue.popleft()
            with contextlib.suppress(OSError):
                if isinstance(item, _Upload):
                    item.path.unlink(missing_ok=True)
                else:
                    shutil.rmtree(item.scratch, ignore_errors=True)

    def _next(self) -> _Upload | _End | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            return self._queue[0] if self._queue else None

    def _at_hand(self, item: _Upload | _End) -> bool:
        return bool(self._queue) and self._queue[0] is item

    def _announce(self, item: _Upload | _End, *, uploaded: bool) -> None:
        if isinstance(item, _Upload):
            if uploaded:
                self._voice.publish(item.runner, Checkpoint(ref=item.ref))
        elif item.outcome is not None:
            publish_end(self._voice, item.runner, item.outcome)

    def _upload(self, item: _Upload) -> bool:
        """Tries until it is done, until it makes no sense any more, or until it has been tried long enough."""
        until = time.monotonic() + GIVE_UP_SECONDS
        pause = FIRST_PAUSE
        while not self._pointless(item):
            try:
                self._place.put(item.path, item.ref.location)
                return True
            except Exception as error:  # a store may raise anything, and none of it may end the thread
                problem = f"{type(error).__name__}: {error}"
            if self._closing or time.monotonic() >= until or not is_regular(item.path):
                about = {"action": "upload_failed", "token": item.token}
                log.error("checkpoint %s is given up: %s", item.ref.location, problem, extra=about)
                return False
            about = {"action": "upload_waits", "token": item.token}
            log.warning("checkpoint %s could not be uploaded yet: %s", item.ref.location, problem, extra=about)
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._pointless(item), pause)
            pause = min(LONGEST_PAUSE, pause * 2)
        return False

    def _pointless(self, item: _Upload) -> bool:
        """Whether it was dropped, or a newer one waits: where uploads are slower than saves, only the newest counts."""
        with self._changed:
            later = list(self._queue)[1:] if self._at_hand(item) else None
        return later is None or any(isinstance(each, _Upload) and each.runner == item.runner for each in later)
