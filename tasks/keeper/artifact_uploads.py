"""Files on their way into the artifact store: in order, beside the training, tried again while the store is away."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tasks.artifact_files import NOT_KEPT
from tasks.contract import Artifact, ArtifactRef, Attribute, Outcome
from tasks.keeper.checkpoints import EventSink, publish_end
from tasks.keeper.file_store import FolderFiles, RemoteFiles
from tasks.regular_files import is_regular, open_log

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 15.0
GIVE_UP_SECONDS = 60.0
"""How long a file is tried again while the store is away; then its attempt goes without it, and without the rest."""


MOST_LOST = 20
"""Models of one trial that are named as not stored."""


@dataclass(frozen=True)
class Attempt:
    """One start of an attempt: ``folder`` holds what it saves, ``log`` is its trial's, ``lost`` are the models of the
    trial that could not be stored, each with the reason."""

    token: str
    runner: str
    folder: Path
    log: Path
    voice: EventSink
    lost: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Upload:
    attempt: Attempt
    path: Path
    ref: ArtifactRef


@dataclass(frozen=True)
class End:
    attempt: Attempt
    outcome: Outcome


class Uploads:
    """Puts files into the store in a thread of its own, in order; an end is told there, behind its files.

    Args:
        place: The store.
        patience: Seconds for which a file is tried again.
    """

    def __init__(
        self,
        place: RemoteFiles | FolderFiles,
        patience: float,
        voice: EventSink,
        on_end: Callable[[str, Outcome], None],
    ) -> None:
        self._place = place
        self._patience = patience
        self._voice = voice
        self._on_end = on_end
        # The first entry is the one at hand, so that it counts as pending until it is done.
        self._queue: deque[Upload | End] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._given_up: set[str] = set()
        self._thread: threading.Thread | None = None

    @property
    def pending(self) -> bool:
        return bool(self._queue)

    def has(self, runner: str) -> bool:
        with self._changed:
            return self._has(runner)

    def add(self, item: Upload | End) -> None:
        with self._changed:
            self._queue.append(item)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="artifacts", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def wait(self, runner: str) -> None:
        """Waits until all of a runner's is done."""
        with self._changed:
            self._changed.wait_for(lambda: not self._has(runner))

    def close(self, timeout: float) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout)
        with self._changed:
            rest, self._queue = self._queue, deque()
        for item in rest:
            if isinstance(item, End):
                self._on_end(item.attempt.runner, item.outcome)
            else:
                not_kept(item.attempt, item.ref.kind, item.ref.filename, "the worker ends")

    def _has(self, runner: str) -> bool:
        return any(item.attempt.runner == runner for item in self._queue)

    def _run(self) -> None:
        while (item := self._next()) is not None:
            kept = isinstance(item, Upload) and self._upload(item)
            with self._changed:
                if not self._queue or self._queue[0] is not item:
                    # Closed meanwhile: its end has been told.
                    return
                try:
                    self._announce(item, kept=kept)
                except Exception:  # none of it may end the thread, on which the end of every trial waits
                    log.exception("a file or an end could not be announced", extra={"action": "artifact_not_kept"})
                    if isinstance(item, End):
                        with contextlib.suppress(Exception):
                            publish_end(self._voice, item.attempt.runner, item.outcome)
                self._queue.popleft()
                self._changed.notify_all()
            if isinstance(item, End):
                shutil.rmtree(item.attempt.folder, ignore_errors=True)
            else:
                # Gone already where it was moved.
                with contextlib.suppress(OSError):
                    item.path.unlink(missing_ok=True)

    def _announce(self, item: Upload | End, *, kept: bool) -> None:
        if isinstance(item, End):
            self._given_up.discard(item.attempt.runner)
            self._on_end(item.attempt.runner, item.outcome)
        elif kept:
            self._voice.publish(item.attempt.runner, Artifact(ref=item.ref))
            if item.ref.kind == "model" and item.attempt.lost.pop(item.ref.filename, None) is not None:
                _publish_lost(item.attempt)

    def _next(self) -> Upload | End | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            return self._queue[0] if self._queue else None

    def _upload(self, item: Upload) -> bool:
        """Tries until it is done, until it makes no sense any more, or until it has been tried long enough."""
        runner = item.attempt.runner
        until = time.monotonic() + self._patience
        pause = FIRST_PAUSE
        while runner not in self._given_up and not self._outdated(item):
            try:
                self._place.put(item.path, item.ref.id)
                return True
            except Exception as error:  # a store may raise anything, and none of it may end the thread
                problem = f"{type(error).__name__}: {error}"
            if self._closing or time.monotonic() >= until or not is_regular(item.path):
                not_kept(item.attempt, item.ref.kind, item.ref.filename, problem)
                if self._patience:
                    self._given_up.add(runner)
                return False
            about = {"action": "upload_waits", "token": item.attempt.token}
            log.warning("an artifact could not be uploaded yet: %s", problem, extra=about)
            with self._changed:
                self._changed.wait_for(lambda: self._closing, pause)
            pause = min(LONGEST_PAUSE, pause * 2)
        if runner in self._given_up:
            not_kept(item.attempt, item.ref.kind, item.ref.filename, "the store is away")
        return False

    def _outdated(self, item: Upload) -> bool:
        """Whether a newer one of its name waits: where uploads are slower than saves, only the newest counts."""
        with self._changed:
            later = list(self._queue)[1:]
        return any(
            isinstance(each, Upload)
            and each.attempt is item.attempt
            and (each.ref.kind, each.ref.filename) == (item.ref.kind, item.ref.filename)
            for each in later
        )


def not_kept(attempt: Attempt, kind: str, name: str, problem: object) -> None:
    what = "the model" if kind == "model" else "the file"
    reason = f"{' '.join(str(problem).split()):.300}"
    note(attempt, f"{what} '{name}' could not be kept: {reason}")
    if kind == "model" and len(attempt.lost) < MOST_LOST:
        attempt.lost[name] = reason
        _publish_lost(attempt)


def _publish_lost(attempt: Attempt) -> None:
    attempt.voice.publish(attempt.runner, Attribute(key=NOT_KEPT, value=json.dumps(attempt.lost)))


def note(attempt: Attempt, line: str) -> None:
    """Says something in the trial's log and in the worker's."""
    about = {"action": "artifact_not_kept", "token": attempt.token}
    log.warning("%s: %s", attempt.log.stem, line, extra=about)
    try:
        with os.fdopen(open_log(attempt.log), "a", errors="backslashreplace") as file:
            file.write(line + "\n")
    except OSError:
        # On a full disk, say. The worker's log has it.
        return
