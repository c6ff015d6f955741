"""Events for Celery's monitors about the trial of a slot: Flower shows them in the row of the task."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Final, Protocol

from tasks import flower_row
from tasks.contract import Epoch, Failed, Job, Outcome, Parameter
from tasks.flower_row import TaskResult

CALM_SECONDS = 0.05
PAUSE_SECONDS = 1.0
"""Seconds between two progress events of a trial."""

MOST_KEPT = 100
"""Final events that are kept while the broker is away."""

PROGRESS: Final = "task-STARTED"
"""Changes a row and leaves its state, or makes it STARTED. Celery takes the capital letters of an unknown event as the
new state, which would hide a REVOKED that comes later."""

REVOKED: Final = "task-revoked"


class Send(Protocol):
    """Sends an event about a task; may take long, and raise anything."""

    def __call__(self, type: str, token: str, fields: Mapping[str, Any]) -> None: ...


class MonitorEvents(threading.Thread):
    """Sends the monitor events of a slot in a thread of its own, so that no trial waits for the broker.

    Of progress only the newest epoch is sent, and lost where that fails. Final events are sent again until they arrive.

    Args:
        send: Called in this thread.
        pause: Seconds between two progress events.
        calm: Seconds between what happens and the event about it.
    """

    def __init__(self, send: Send, pause: float = PAUSE_SECONDS, calm: float = CALM_SECONDS) -> None:
        super().__init__(name="herald", daemon=True)
        self._send = send
        self._pause = pause
        self._calm = calm
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._no_pause = threading.Event()
        self._job: Job | None = None
        self._begun = 0.0
        self._values: dict[str, str] = {}
        self._epoch: Epoch | None = None
        self._unsent = False
        self._finals: deque[tuple[str, str, dict[str, Any]]] = deque()
        self._closed = threading.Event()

    def begin(self, job: Job) -> None:
        """Sets the job that later events are about."""
        with self._lock:
            self._job = job
            self._begun = time.monotonic()
            self._values = flower_row.values(job)
            self._epoch = None
            self._unsent = False

    def epoch(self, epoch: Epoch) -> None:
        """Sends the progress of the trial."""
        self._epoch = epoch
        self._unsent = True
        self._changed.set()

    def parameter(self, name: str, parameter: Parameter) -> None:
        """Adds a parameter that was not sampled ahead to the row."""
        self._values[name] = flower_row.value(parameter)
        self._unsent = True
        self._changed.set()

    def forget(self) -> None:
        """Drops the job: another slot runs it, and sends its events."""
        with self._lock:
            self._job = None
            self._unsent = False

    def end(self, outcome: Outcome, cause: str, *, revoked: bool) -> TaskResult:
        """Sends the end of the attempt and returns the result of its task.

        Args:
            outcome: Outcome of the attempt.
            cause: Cause of its verdict; empty where there was none.
            revoked: Whether Celery has already sent that the task was revoked.
        """
        with self._lock:
            job, self._job = self._job, None
            assert job is not None, "what has not begun cannot end"
            ending = flower_row.task_result(
                outcome, cause, flower_row.progress(self._epoch, job) if self._epoch else ""
            )
            fields: dict[str, Any] = {"args": flower_row.arguments(job, self._values), "result": ending.text}
            if ending.revoked or isinstance(outcome, Failed):
                # Celery sends it of a task that succeeds.
                fields["runtime"] = time.monotonic() - self._begun
            revokes = ending.revoked and not revoked
            if revokes:
                fields |= {"terminated": True, "signum": None, "expired": False}
            if len(self._finals) < MOST_KEPT:
                self._finals.append((REVOKED if revokes else PROGRESS, job.token, fields))
        self._no_pause.set()
        self._changed.set()
        return ending

    def close(self, timeout: float) -> None:
        """Stops; waits at most ``timeout`` seconds for events that are not sent."""
        self._closed.set()
        self._no_pause.set()
        self._changed.set()
        if self.is_alive():
            self.join(timeout)

    def run(self) -> None:
        while True:
            self._changed.wait()
            # What follows an end or a report is urgent: the next trial, or a verdict. This thread would hold the
            # interpreter's lock meanwhile.
            self._closed.wait(self._calm)
            self._changed.clear()
            if not self._send_due():
                self._changed.set()
            if self._closed.is_set():
                return
            self._no_pause.wait(self._pause)
            self._no_pause.clear()

    def _send_due(self) -> bool:
        """Sends what is due; returns whether all final events are sent."""
        try:
            while self._finals:
                self._send(*self._finals[0])
                self._finals.popleft()
            if progress := self._progress():
                self._send(*progress)
        except Exception:  # a broker may raise anything, and none of it may end the thread
            return not self._finals
        return True

    def _progress(self) -> tuple[str, str, dict[str, Any]] | None:
        with self._lock:
            if self._job is None or not self._unsent:
                return None
            self._unsent = False
            fields = {"args": flower_row.arguments(self._job, dict(self._values))}
            if self._epoch is not None:
                fields["result"] = flower_row.progress(self._epoch, self._job)
            return PROGRESS, self._job.token, fields
