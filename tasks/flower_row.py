"""Text in the row of a training task in Flower: trial and parameters, progress, result."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from tasks.contract import Epoch, Failed, Finished, Job, Outcome, Parameter, Paused, Released, Stopped

LONGEST_CHOICE = 60
"""Most characters of a categorical choice."""

LONGEST_FAILURE = 200
"""Most characters of the reason of a failure."""

_WHY_STOPPED = {
    "pruned": "pruned",
    "revoked": "stopped by a person",
    "lost": "given up: another attempt has taken the trial over",
    **dict.fromkeys(("finished", "failed", "stopped"), "stopped with its study"),
}
"""Reasons by the cause of the verdict; any other cause is shown as it is."""


def arguments(job: Job, values: Mapping[str, str]) -> str:
    """Returns ``digits trial 3: lr=0.02, kind=fancy``; ``values`` are texts of ``value``."""
    attempt = f" attempt {job.attempt}" if job.attempt > 1 else ""
    text = ", ".join(f"{name}={shown}" for name, shown in values.items())
    return f"{job.study} trial {job.trial}{attempt}" + (f": {text}" if text else "")


def values(job: Job) -> dict[str, str]:
    """Returns the values that a job is sent with."""
    return {name: value(parameter) for name, parameter in (job.params | job.ahead).items()}


def value(parameter: Parameter) -> str:
    """Returns a value as the objective sees it, short. Done without Optuna, which keepers do not import."""
    with contextlib.suppress(ValueError, LookupError, TypeError):
        distribution = json.loads(parameter.distribution)
        match distribution["name"]:
            case "CategoricalDistribution":
                return f"{distribution['attributes']['choices'][int(parameter.value)]!s:.{LONGEST_CHOICE}}"
            case "IntDistribution":
                return str(int(parameter.value))
    return f"{parameter.value:.4g}"


def progress(epoch: Epoch, job: Job) -> str:
    """Returns ``epoch 5 of 27: 0.1069``, or ``epoch 5: 0.1069`` where the number of epochs is unknown."""
    of = "" if job.max_steps is None else f" of {job.max_steps}"
    return f"epoch {epoch.step}{of}: {epoch.value:.4g}"


@dataclass(frozen=True)
class TaskResult:
    """Result of a task, as text; ``revoked`` where the task was ended before it had one."""

    text: str
    revoked: bool = False


def task_result(outcome: Outcome, cause: str, last: str) -> TaskResult:
    """Returns the result of an attempt's task.

    Args:
        outcome: Outcome of the attempt.
        cause: Cause of its verdict; empty where there was none.
        last: Its last progress; empty where nothing was reported.
    """
    match outcome:
        case _ if cause:
            why = _WHY_STOPPED.get(cause, f"stopped: {cause}")
        case Stopped():
            why = "given up: another worker has the trial"
        case Released():
            why = "handed back, to be attempted again"
        case Finished(pruned=True):
            why = "pruned by the objective"
        case Finished():
            return TaskResult(", ".join(f"{each:.4g}" for each in outcome.values))
        case Paused():
            return TaskResult(f"on rung at epoch {outcome.step}")
        case Failed():
            return TaskResult(" ".join(f"{outcome.error}: {outcome.message}".split())[:LONGEST_FAILURE])
    return TaskResult(f"{why}, {last}" if last else why, revoked=True)
