"""Tells Celery's monitors how the slot's trial is getting on: what Flower shows in the task's row."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Final, Protocol

from tasks import flower_row
from tasks.contract import Epoch, Failed, Job, Outcome, Parameter
from tasks.flower_row import TaskResult

PAUSE_SECONDS = 1.0
"""Between two messages about a trial that trains."""

MOST_KEPT = 100
"""How many endings are kept while the broker is away."""

PROGRESS: Final = "task-STARTED"
"""Changes a row and leaves its state as it is, or makes it STARTED. A word of our own would become the row's state, and
hide a REVOKED that comes later; of a word that it does not know, Celery takes the capital letters as the state."""

REVOKED: Final = "task-revoked"


class Send(Protocol):
    """Sends an event about a task; may take long, and raise anything."""

    def __call__(self, type: str, token: str, fields: Mapping[str, Any]) -> None: ...


class MonitorEvents(threading.Thread):
    """A slot's voice to the monitors. It has a thread of its own, so that nobody ever waits for the broker.

    Of a trial that trains only the newest epoch is told, and lost when it cannot be. How one ended is told again
    until it could be.

    Args:
        send: Called in this thread.
        pause: Seconds between two messages about a trial that trains.
    """

    def __init__(self, send: Send, pause: float = PAUSE_SECONDS) -> None:
        super().__init__(name="herald", daemon=True)
        self._send = send
        self._pause = pause
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._hurry = threading.Event()
        self._job: Job | None = None
        self._begun = 0.0
        self._values: dict[str, str] = {}
        self._epoch: Epoch | None = None
        self._untold = False
        self._endings: deque[tuple[str, str, dict[str, Any]]] = deque()
        self._closing = False

    def begin(self, job: Job) -> None:
        """From now on it is about this job."""
        with self._lock:
            self._job = job
            self._begun = time.monotonic()
            self._values = flower_row.values(job)
            self._epoch = None
            self._untold = False

    def epoch(self, epoch: Epoch) -> None:
        """The trial has reported."""
        self._epoch = epoch
        self._untold = True
        self._news.set()

    def parameter(self, name: str, parameter: Parameter) -> None:
        """The trial was given a parameter that was not sampled ahead."""
        self._values[name] = flower_row.value(parameter)
        self._untold = True
        self._news.set()

    def forget(self) -> None:
        """The job is another slot's, which tells of it: nothing is told from here."""
        with self._lock:
            self._job = None
            self._untold = False

    def end(self, outcome: Outcome, cause: str, *, announced: bool) -> TaskResult:
        """The attempt is over. Where its task is revoked, Celery must say nothing more about it.

        Args:
            outcome: How it ended.
            cause: That of the verdict about it; empty where there was none.
            announced: Whether Celery has already said that the task was revoked.
        """
        with self._lock:
            job, self._job = self._job, None
            assert job is not None, "what has not begun cannot end"
            ending = flower_row.task_result(
                outcome, cause, flower_row.progress(self._epoch, job) if self._epoch else ""
            )
            fields: dict[str, Any] = {"args": flower_row.arguments(job, self._values), "result": ending.text}
            if ending.revoked or isinstance(outcome, Failed):
                # Of a task that succeeds, Celery tells it itself.
                fields["runtime"] = time.monotonic() - self._begun
            revokes = ending.revoked and not announced
            if revokes:
                fields |= {"terminated": True, "signum": None, "expired": False}
            if len(self._endings) < MOST_KEPT:
                self._endings.append((REVOKED if revokes else PROGRESS, job.token, fields))
        self._hurry.set()
        self._news.set()
        return ending

    def close(self, timeout: float) -> None:
        """Stops, after telling what is untold if that takes no longer than ``timeout`` seconds."""
        self._closing = True
        self._hurry.set()
        self._news.set()
        if self.is_alive():
            self.join(timeout)

    def run(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            if not self._tell():
                self._news.set()
            if self._closing:
                return
            self._hurry.wait(self._pause)
            self._hurry.clear()

    def _tell(self) -> bool:
        """Returns whether nothing is left that has to be told."""
        try:
            while self._endings:
                self._send(*self._endings[0])
                self._endings.popleft()
            if progress := self._progress():
                self._send(*progress)
        except Exception:  # a broker may raise anything, and none of it may end the thread
            return not self._endings
        return True

    def _progress(self) -> tuple[str, str, dict[str, Any]] | None:
        with self._lock:
            if self._job is None or not self._untold:
                return None
            self._untold = False
            fields = {"args": flower_row.arguments(self._job, dict(self._values))}
            if self._epoch is not None:
                fields["result"] = flower_row.progress(self._epoch, self._job)
            return PROGRESS, self._job.token, fields
