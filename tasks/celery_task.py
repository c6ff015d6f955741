"""The training task of Celery: the keeper of this pool process trains, and its result becomes that of the task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import celery
from celery.exceptions import Ignore, Reject
from celery.worker.request import Request

from tasks.app import STOP_SIGNAL, TRAIN
from tasks.codec import Malformed, job_from_payload
from tasks.contract import Failed
from tasks.keeper.keeper import Keeper


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


@dataclass(frozen=True)
class PlainText:
    """A result that Celery shows without quotes."""

    text: str

    def __repr__(self) -> str:
        return self.text


def register(app: celery.Celery, keeper: list[Keeper]) -> celery.Task:
    """Adds the task to ``app``; ``keeper`` holds the keeper of the pool process once that is forked."""

    @app.task(name=TRAIN, base=TrialTask, max_retries=0)  # type: ignore[untyped-decorator]
    def train(payload: dict[str, Any]) -> PlainText:
        try:
            job = job_from_payload(payload)
        except Malformed as error:
            raise Reject(f"not a job: {error}", requeue=False) from None
        outcome, ending = keeper[0].run(job)
        if ending.revoked:
            # Returning would turn a task that is REVOKED into a SUCCESS.
            raise Ignore
        if isinstance(outcome, Failed):
            raise TrialFailed(f"{outcome.error}: {outcome.message}", outcome.traceback)
        return PlainText(ending.text)

    return train
