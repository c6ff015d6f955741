"""The training task: thin. The keeper of this pool process does the work, Celery is told how it ended."""

from __future__ import annotations

from typing import Any

import celery
from celery.exceptions import Ignore, Reject

from tasks.app import STOP_SIGNAL, TRAIN
from tasks.codec import Malformed, job_from_payload
from tasks.contract import Failed, Finished, Outcome, Paused, Released, Stopped
from tasks.keeper.keeper import Keeper


class TrialFailed(Exception):
    """A trial failed; the text is what Flower shows: the error, and where it was raised."""


def register(app: celery.Celery, keeper: list[Keeper]) -> celery.Task:
    """Adds the task to ``app``. ``keeper`` holds the keeper of the pool process, put there when it is forked."""

    @app.task(name=TRAIN, bind=True, max_retries=0)  # type: ignore[untyped-decorator]
    def train(self: celery.Task, payload: dict[str, Any]) -> str:
        try:
            job = job_from_payload(payload)
        except Malformed as error:
            raise Reject(f"not a job: {error}", requeue=False) from None
        outcome, rung = keeper[0].run(job)
        return _tell_celery(self, outcome, rung)

    return train


def _tell_celery(task: celery.Task, outcome: Outcome, rung: bool) -> str:
    match outcome:
        case Finished():
            return "pruned by the objective" if outcome.pruned else f"values {list(outcome.values)}"
        case Failed():
            detail = outcome.traceback or outcome.message
            raise TrialFailed(f"{outcome.error}: {outcome.message}\n{detail}")
        case Paused():
            return f"paused at step {outcome.step}"
        case Stopped():
            # Returning would turn the REVOKED of Celery's own event into SUCCESS.
            if not rung:
                task.send_event("task-revoked", terminated=True, signum=STOP_SIGNAL, expired=False)
            raise Ignore
        case Released():
            raise Ignore
