"""The start of a job: it is known which runner is bound to the attempt before anything of the user's runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from tasks.keeper.job_run import JobRun
from tasks.keeper.publisher import Publisher

log = logging.getLogger(__name__)

FENCE_SECONDS = 1.0
"""How long the start of a job waits, at the most, to hear whether the attempt is still to be run."""

BINDING_SECONDS = 10.0
"""How long a job that was sent before waits, at the most, for the control plane to say whose it is: longer than a
control plane needs to come back."""

CONFIRMING_SECONDS = 300.0
"""How long, beyond that, a signed job waits to be confirmed before it is handed back unrun."""

BINDING_PAUSE = 0.02
"""Seconds between two questions about that."""


class Binding:
    """Waits until it is known which runner is bound to an attempt.

    Args:
        course: The job.
        publisher: Asks the control plane.
        signed: Whether messages are signed: then the job runs only once it is confirmed.
        leaves: Tells whether the keeper hands its trial back, which ends every wait.
    """

    def __init__(self, course: JobRun, publisher: Publisher, *, signed: bool, leaves: Callable[[], bool]) -> None:
        self._course = course
        self._publisher = publisher
        self._signed = signed
        self._leaves = leaves

    def await_another(self) -> None:
        """Before the start of a job that was sent again is announced: another slot may have taken it a moment before
        it was missed, and what that one says is to come first."""
        if self._course.job.again:
            self._wait(FENCE_SECONDS)

    def is_confirmed(self) -> bool:
        """Waits for the answer to the announced start; returns whether the job may run."""
        course = self._course
        self._publisher.await_answer(course.runner, FENCE_SECONDS)
        if course.job.again or self._signed:
            self._wait(BINDING_SECONDS)
        if self._signed and not course.bound and not self._leaves():
            # Where Redis is not trusted, its silence proves nothing: the job may be a copy of one that ended long ago.
            about = {"action": "unconfirmed", "token": course.job.token}
            log.warning("trial %d waits for the control plane to confirm it", course.job.trial, extra=about)
            self._wait(CONFIRMING_SECONDS)
        return course.bound or not self._signed

    def _wait(self, seconds: float) -> None:
        """Waits until the attempt is bound to a runner, this one or another; ``seconds`` at the most."""
        deadline = time.monotonic() + seconds
        while not self._course.await_binding(BINDING_PAUSE) and time.monotonic() < deadline and not self._leaves():
            self._publisher.ask()
