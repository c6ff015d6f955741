"""What people want of a study while it runs, or after it has ended: less, more, or something again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from orchestrator.engine.reconcile import adopt
from orchestrator.engine.state import Core
from orchestrator.model.study_states import ENDED
from orchestrator.spec import Spec

Steer = Literal["pause", "resume", "stop"]


def steer(core: Core, operation: Steer, at: float, reason: str = "") -> None:
    """Pauses, resumes or stops the study; one that has ended is left as it is. Without a ``reason`` to stop a person
    did so."""
    if core.state in ENDED:
        return
    if operation == "stop":
        core.end("stopped", reason or "stopped by a person", at)
    else:
        core.set_state("paused" if operation == "pause" else "running", "", at)


def extend(core: Core, spec: Spec, at: float) -> None:
    """Takes over what may change in a study that goes on: its budget, its queue, how it is trained."""
    core.spec = spec
    core.artifacts.unsettle()
    core.trials.expect_configurations(core.budget)
    more = core.budget > core.trials.taken or bool(core.trials.enqueued)
    if core.state == "paused" or (more and core.state != "running"):
        _reopen(core, at)
    core.trials.tell_again()


def enqueue(core: Core, params: Mapping[str, Any], at: float) -> None:
    """Adds a trial with these parameters to the budget; it is the next one that is asked for. A study that was
    finished goes on for it, one that was stopped or has failed keeps it until it goes on."""
    core.trials.enqueue(params, extra=True)
    _make_room(core, at)


def retry(core: Core, number: int, at: float) -> None:
    """Adds a trial with the parameters of one that has ended, as ``enqueue`` does."""
    core.trials.retry(number)
    _make_room(core, at)


def _make_room(core: Core, at: float) -> None:
    core.trials.expect_configurations(core.budget)
    if core.state == "finished":
        _reopen(core, at)


def _reopen(core: Core, at: float) -> None:
    """Sets the study running; after an end, other programs may have done anything to its trials meanwhile."""
    ended = core.state in ENDED
    core.set_state("running", "", at)
    if ended:
        adopt(core, at)
