"""What follows from a change: which trial is asked for, sent or promoted next, and when the study has ended."""

from __future__ import annotations

from orchestrator.engine.state import Core
from orchestrator.engine.stop_conditions import reached
from orchestrator.model.lifecycle import WAITING, AttemptEvent, AttemptState
from orchestrator.sampling.trial_sampler import SamplerFailed

_OCCUPYING = (AttemptState.QUEUED, AttemptState.SENT, AttemptState.RUNNING, AttemptState.STOPPING)


def advance(core: Core, at: float) -> None:
    """Asks, promotes, sends and ends, as far as the state now allows. Changes nothing when nothing is due."""
    if core.trials.trouble:
        core.end("failed", core.trials.trouble, at)
    if core.trials.promotes and _is_spent(core):
        # The trials there are is all there will be, as far as is known.
        core.trials.expect_configurations(core.trials.taken)
    if core.state == "running" and (limit := reached(core, at)):
        core.stop_starting_trials(limit, at)
    if core.state not in ("running", "ending"):
        return
    try:
        if core.trials.promotes:
            _fill_slots(core, at)
        else:
            while _may_ask(core):
                core.attempts.create(core.trials.ask(), at)
    except SamplerFailed as error:
        core.end("failed", f"the sampler failed: {error}", at)
        return
    while core.attempts.held and _may_send(core):
        core.send(min(core.attempts.held.values(), key=lambda row: (row.number == 1, row.trial)), at)
    if _nobody_goes_on(core) and (core.state == "ending" or _is_spent(core)):
        core.end_paused(at)
        core.set_state("finished", core.reason, at)


def _may_ask(core: Core) -> bool:
    """Whether another trial is to be asked for now: that many wait to be started, and not one more, unless it was
    enqueued."""
    wanted = bool(core.trials.enqueued or core.trials.within) or core.attempts.count(*WAITING) < core.spec.lookahead
    return wanted and _wants_more(core)


def _fill_slots(core: Core, at: float) -> None:
    """Chooses a job for each slot that is free: a trial that may be promoted, or else a new one.

    Nothing is chosen ahead. Which trial is the best to promote is known when a slot asks, not before.
    """
    slots = core.slots if core.spec.parallel is None else min(core.slots, core.spec.parallel)
    for _ in range(slots - core.attempts.count(*_OCCUPYING)):
        promoted = core.trials.promote(at) if core.state == "running" else None
        if promoted is not None:
            row = core.attempts.live(promoted)
            if row is not None and core.attempts.move(row, AttemptEvent.PROMOTE, at):
                row.cause = "promoted"
            core.attempts.create(promoted, at)
        elif _wants_more(core):
            core.attempts.create(core.trials.ask(), at)
        else:
            return


def _wants_more(core: Core) -> bool:
    if core.state == "ending":
        return False
    return bool(core.trials.enqueued) or not _is_spent(core)


def _is_spent(core: Core) -> bool:
    if core.trials.taken >= core.budget:
        return True
    # What was enqueued is tried, whatever is left to sample.
    return not core.trials.within and core.trials.sampler.is_exhausted()


def _may_send(core: Core) -> bool:
    busy = core.attempts.count(AttemptState.SENT, AttemptState.RUNNING)
    return core.spec.parallel is None or busy < core.spec.parallel


def _nobody_goes_on(core: Core) -> bool:
    waiting = len(core.trials.paused) + (len(core.trials.enqueued) if core.state == "ending" else 0)
    if sum(core.trials.ended.values()) + waiting < core.trials.taken:
        return False
    return core.state == "ending" or not core.trials.may_promote()
