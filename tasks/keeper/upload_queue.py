"""Uploads of one keeper to one store: in order, in a thread beside the training, retried while the store is away."""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tasks.contract import Body, Failed, Outcome
from tasks.trial_files import is_regular

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 15.0
"""Seconds between two tries of one upload; the pause doubles from the first to the longest."""

GIVE_UP_SECONDS = 60.0
"""Seconds after which an upload is given up while the store is away; the trial goes on without the file."""


class EventSink(Protocol):
    """The part of the publisher that a store uses."""

    def publish(self, runner: str, body: Body) -> int: ...

    def end(self, runner: str) -> None: ...


def publish_end(events: EventSink, runner: str, outcome: Outcome) -> None:
    """Publishes the last event of a runner: its outcome, or that the outcome cannot be published."""
    try:
        events.publish(runner, outcome)
    except Exception as error:  # user code may have put anything into it
        log.exception("the outcome of runner %s could not be published", runner, extra={"action": "not_published"})
        message = ascii(f"its outcome could not be published: {error}")
        events.publish(runner, Failed(cause="died", error=type(error).__name__, message=message))
    finally:
        events.end(runner)


@dataclass(frozen=True, eq=False)
class Upload:
    """One file of a runner, which is deleted here afterwards.

    A later upload with the same ``key`` supersedes one that waits: only the newest file counts. One of the two
    functions is called when the upload has ended, ``failed`` with the reason; neither is where it was superseded.
    """

    runner: str
    token: str
    path: Path
    location: str
    label: str
    key: tuple[str, ...]
    done: Callable[[], None]
    failed: Callable[[str], None]


@dataclass(frozen=True, eq=False)
class RunnerEnd:
    """The end of a runner: ``reached`` is called behind its uploads, then its ``folder`` is deleted."""

    runner: str
    folder: Path
    reached: Callable[[], None]


class UploadQueue:
    """Uploads in order, in a thread that starts with the first one.

    Args:
        name: Name of the thread.
        put: Uploads a file to a location; may raise anything.
        retries: Whether an upload that fails is tried again.
        one_failure_ends_all: Whether a runner's other uploads are given up with the first one that is.
    """

    def __init__(
        self,
        name: str,
        put: Callable[[Path, str], None],
        *,
        retries: bool = True,
        one_failure_ends_all: bool = False,
    ) -> None:
        self._name = name
        self._put = put
        self._retries = retries
        self._one_failure_ends_all = one_failure_ends_all
        # The first entry is being uploaded, so that it counts as pending until it is done.
        self._queue: deque[Upload | RunnerEnd] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._given_up: set[str] = set()
        self._thread: threading.Thread | None = None

    @property
    def pending(self) -> bool:
        return bool(self._queue)

    def has(self, runner: str) -> bool:
        with self._changed:
            return any(item.runner == runner for item in self._queue)

    def add(self, item: Upload | RunnerEnd) -> None:
        with self._changed:
            self._queue.append(item)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def drop(self, runner: str) -> None:
        """Forgets a runner's uploads; the one that is being uploaded is not announced."""
        with self._changed:
            self._queue = deque(item for item in self._queue if item.runner != runner)
            self._changed.notify_all()

    def wait(self, runner: str) -> None:
        """Waits until nothing of a runner is pending."""
        with self._changed:
            self._changed.wait_for(lambda: not self.has(runner))

    def close(self, timeout: float) -> None:
        """Waits at most ``timeout`` seconds for what is pending, then gives it up."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout)
        with self._changed:
            rest, self._queue = self._queue, deque()
            for item in rest:
                self._settle(item, "the worker ends")

    def _run(self) -> None:
        while (item := self._next()) is not None:
            problem = self._upload(item) if isinstance(item, Upload) else None
            with self._changed:
                if self._is_first(item):
                    self._settle(item, problem)
                    self._queue.popleft()
                    self._changed.notify_all()
            with contextlib.suppress(OSError):
                if isinstance(item, Upload):
                    item.path.unlink(missing_ok=True)
                else:
                    shutil.rmtree(item.folder, ignore_errors=True)

    def _next(self) -> Upload | RunnerEnd | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            return self._queue[0] if self._queue else None

    def _is_first(self, item: Upload | RunnerEnd) -> bool:
        """Whether the item was neither dropped nor given up by ``close`` meanwhile."""
        return bool(self._queue) and self._queue[0] is item

    def _settle(self, item: Upload | RunnerEnd, problem: str | None) -> None:
        try:
            if isinstance(item, RunnerEnd):
                self._given_up.discard(item.runner)
                item.reached()
            elif problem is None:
                item.done()
            elif problem:
                item.failed(problem)
        except Exception:  # none of it may end the thread, on which the end of every trial waits
            log.exception("the end of an upload could not be announced", extra={"action": "upload_failed"})

    def _upload(self, item: Upload) -> str | None:
        """Returns ``None`` once the file is uploaded, else the reason why it is not; empty if it is superseded."""
        until = time.monotonic() + (GIVE_UP_SECONDS if self._retries else 0.0)
        pause = FIRST_PAUSE
        while item.runner not in self._given_up:
            if self._superseded(item):
                return ""
            try:
                self._put(item.path, item.location)
                return None
            except Exception as error:  # a store may raise anything, and none of it may end the thread
                problem = f"{type(error).__name__}: {error}"
            if self._closing or time.monotonic() >= until or not is_regular(item.path):
                if self._one_failure_ends_all:
                    self._given_up.add(item.runner)
                return problem
            about = {"action": "upload_waits", "token": item.token}
            log.warning("%s could not be uploaded yet: %s", item.label, problem, extra=about)
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._superseded(item), pause)
            pause = min(LONGEST_PAUSE, pause * 2)
        return "the store is away"

    def _superseded(self, item: Upload) -> bool:
        with self._changed:
            later = list(self._queue)[1:]
            return not self._is_first(item) or any(isinstance(each, Upload) and each.key == item.key for each in later)
