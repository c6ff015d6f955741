"""Waits at the start of a job, until it is known which runner is bound to the attempt; no user code runs before."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from tasks.keeper.job_run import JobRun
from tasks.keeper.publisher import Publisher

log = logging.getLogger(__name__)

FENCE_SECONDS = 1.0
"""Longest wait at the start of a job for the control plane's answer."""

BINDING_SECONDS = 10.0
"""Longest wait of a job that was sent again: longer than a control plane needs to restart."""

CONFIRMING_SECONDS = 300.0
"""Longest wait of a signed job beyond that; then it is handed back unrun."""

BINDING_PAUSE = 0.02
"""Seconds between two reads of the confirmation."""


class Binding:
    """Waits until it is known which runner is bound to an attempt.

    Args:
        job_run: The job.
        publisher: Reads the confirmations.
        signed: Whether messages are signed: then the job runs only once it is confirmed.
        leaves: Whether the keeper hands its trial back, which ends every wait.
    """

    def __init__(self, job_run: JobRun, publisher: Publisher, *, signed: bool, leaves: Callable[[], bool]) -> None:
        self._job_run = job_run
        self._publisher = publisher
        self._signed = signed
        self._leaves = leaves

    def await_another(self) -> None:
        """Waits before the start of a job that was sent again is published: another slot may have taken the first
        task just before it was missed, and the events of that one must come first."""
        if self._job_run.job.again:
            self._wait(FENCE_SECONDS)

    def is_confirmed(self) -> bool:
        """Waits for the answer to the published start; returns whether the job may run."""
        job_run = self._job_run
        self._publisher.await_answer(job_run.runner, FENCE_SECONDS)
        if job_run.job.again or self._signed:
            self._wait(BINDING_SECONDS)
        if self._signed and not job_run.bound and not self._leaves():
            # Redis is not trusted where jobs are signed: this job may be a copy of one that ended long ago.
            about = {"action": "unconfirmed", "token": job_run.job.token}
            log.warning("trial %d waits for the control plane to confirm it", job_run.job.trial, extra=about)
            self._wait(CONFIRMING_SECONDS)
        return job_run.bound or not self._signed

    def _wait(self, seconds: float) -> None:
        """Waits until the attempt is bound to a runner, this one or another; ``seconds`` at the most."""
        deadline = time.monotonic() + seconds
        while not self._job_run.await_binding(BINDING_PAUSE) and time.monotonic() < deadline and not self._leaves():
            self._publisher.ask()
