"""What a study that is taken up may hold that nobody here has made."""

from __future__ import annotations

from orchestrator.engine.state import Core
from orchestrator.model.lifecycle import WAITING, AttemptState


def adopt(core: Core, at: float) -> None:
    """Makes trials and attempts agree: a trial that runs without an attempt was asked for elsewhere and is given one,
    an attempt whose trial has ended was overtaken by another program's verdict and has to stop."""
    for row in core.attempts.in_state(*WAITING, AttemptState.RUNNING, AttemptState.PAUSED):
        if not core.trials.is_open(row.trial):
            core.stop_attempt(row, "ended elsewhere", None, at)
            if not row.runner or row.state == AttemptState.PAUSED:
                core.end_attempt(row, "ended elsewhere", at)
    known = {row.trial for row in core.attempts}
    unattended = [number for number in core.trials.running() if core.attempts.live(number) is None]
    for number in unattended:
        core.attempts.create(number, at)
    if strange := [number for number in unattended if number not in known]:
        core.trials.tell_taken_up(strange)
