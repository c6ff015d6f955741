"""The training task of Celery: the keeper of this pool process trains, and its result becomes that of the task."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import celery
from celery.app.trace import trace_ok_t
from celery.exceptions import Ignore, Reject
from celery.worker.request import Request

from tasks.app import STOP_SIGNAL, TRAIN
from tasks.codec import Malformed, job_from_payload
from tasks.contract import Failed
from tasks.keeper.keeper import Keeper

log = logging.getLogger(__name__)

Trace = Callable[..., trace_ok_t]
"""Runs a task, given its id, arguments, keyword arguments and request."""


class TrialFailed(Exception):
    """A trial failed.

    Args:
        error: The class that was raised, and its message.
        traceback: Where it was raised; empty where nothing was.
    """

    def __init__(self, error: str, traceback: str) -> None:
        super().__init__(error, traceback)
        self.error = error
        self.traceback = traceback

    def __repr__(self) -> str:
        return self.error

    def __str__(self) -> str:
        return self.error


class TrialRequest(Request):  # type: ignore[misc]
    """The task in the worker's main process. To revoke it never kills its keeper: the keeper is signalled.

    Flower's button asks for SIGTERM, at which a keeper hands its trial back, and so it would be attempted again before
    the control plane had heard that a person stopped it.
    """

    def terminate(self, pool: Any, signal: Any = None) -> None:  # noqa: ARG002
        super().terminate(pool, STOP_SIGNAL)


class TrialTask(celery.Task):  # type: ignore[misc]
    """A task that trains; one that fails shows the traceback of the objective."""

    Request = TrialRequest

    def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:  # noqa: ARG002
        """Replaces the traceback that Celery would show, which is that of ``TrialFailed``."""
        if isinstance(exc, TrialFailed):
            einfo.traceback = exc.traceback or exc.error


class IgnoredResult:
    """The result of a task that is ignored, as the main process takes it.

    Celery's own holds the traceback of an ``Ignore``. To format that takes 2 ms, for which the slot would wait.
    """

    exception = Ignore()


def register(app: celery.Celery, keeper: list[Keeper]) -> celery.Task:
    """Adds the task to ``app``; ``keeper`` holds the keeper of the pool process once that is forked."""
    failures: list[Failed] = []

    @app.task(name=TRAIN, base=TrialTask, max_retries=0)  # type: ignore[untyped-decorator]
    def train(payload: dict[str, Any]) -> None:
        """Ends a task by the exception that Celery is to handle."""
        try:
            job_from_payload(payload)
        except Malformed as error:
            raise Reject(f"not a job: {error}", requeue=False) from None
        failed = failures.pop()
        raise TrialFailed(f"{failed.error}: {failed.message}", failed.traceback)

    def run(token: str, arguments: tuple[dict[str, Any]], celerys: Trace, request: Any) -> trace_ok_t:
        begun = time.monotonic()
        try:
            job = job_from_payload(arguments[0])
        except Malformed:
            return celerys(token, arguments, {}, request)
        outcome, ending = keeper[0].run(job)
        if isinstance(outcome, Failed) and not ending.revoked:
            failures.append(outcome)
            return celerys(token, arguments, {}, request)
        runtime = time.monotonic() - begun
        if ending.revoked:
            # A result would turn a task that is REVOKED into a SUCCESS.
            log.info("Task %s[%s] ignored", TRAIN, token)
            return trace_ok_t(IgnoredResult(), Ignore, runtime, "")
        log.info("Task %s[%s] succeeded in %ss: %s", TRAIN, token, runtime, ending.text)
        return trace_ok_t(ending.text, None, runtime, ending.text)

    train.run_job = run
    return train


def take_over(task: celery.Task) -> None:
    """Runs the task by its keeper, in the place of Celery's tracer; that handles what ends by an exception.

    Call it in a pool process, once Celery has built the tracer.
    """
    celerys: Trace = task.__trace__
    task.__trace__ = lambda token, arguments, _, request=None: task.run_job(token, arguments, celerys, request)
