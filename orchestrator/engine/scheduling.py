"""Scheduling: which trial is asked for, sent or promoted next, and when the study has ended."""

from __future__ import annotations

from orchestrator.engine.state import Study
from orchestrator.model.changeset import AttemptRow
from orchestrator.model.lifecycle import WAITING, AttemptEvent, AttemptState

_OCCUPYING = (AttemptState.QUEUED, AttemptState.SENT, AttemptState.RUNNING, AttemptState.STOPPING)


def advance(study: Study, at: float) -> None:
    """Asks, promotes, sends and ends, as far as the state now allows. Changes nothing when nothing is due."""
    if study.trials.trouble:
        study.end("failed", study.trials.trouble, at)
    if study.trials.sampler.awaits_end:
        # Whether the last trial that ended is the best is not known yet.
        return
    if study.trials.promotes:
        spent = _is_spent(study)
        study.trials.expect_new(not spent)
        if spent:
            # The trials there are is all there will be, as far as is known.
            study.trials.expect_configurations(study.trials.taken)
    if study.state == "running" and (limit := _limit_reached(study, at)):
        study.stop_starting_trials(limit, at)
    if study.state not in ("running", "ending"):
        return
    if study.trials.promotes:
        _fill_slots(study, at)
    else:
        while _may_ask(study):
            study.attempts.create(study.trials.ask(), at)
    while (row := _next_to_send(study)) is not None:
        study.send(row, at)
    if _no_trial_goes_on(study) and (study.state == "ending" or _is_spent(study)):
        study.end_paused(at)
        study.set_state("finished", study.reason, at)


def _may_ask(study: Study) -> bool:
    """Whether another trial is to be asked for now: that many wait to be started, and not one more, unless it was
    enqueued."""
    wanted = bool(study.trials.enqueued or study.trials.within) or study.attempts.count(*WAITING) < study.lookahead
    return wanted and _wants_more(study)


def _fill_slots(study: Study, at: float) -> None:
    """Chooses a job for each slot that is free: a trial that may be promoted, or else a new one.

    Nothing is chosen ahead. Which trial is the best to promote is known when a slot asks, not before.
    """
    slots = study.slots if study.spec.parallel is None else min(study.slots, study.spec.parallel)
    for _ in range(slots - study.attempts.count(*_OCCUPYING)):
        promoted = study.trials.promote(at) if study.state == "running" else None
        if promoted is not None:
            row = study.attempts.live(promoted)
            if row is not None and study.attempts.move(row, AttemptEvent.PROMOTE, at):
                row.cause = "promoted"
            study.attempts.create(promoted, at)
        elif _wants_more(study):
            study.attempts.create(study.trials.ask(), at)
        else:
            return


def _wants_more(study: Study) -> bool:
    if study.state == "ending" or (study.trials.sampler.one_at_a_time and study.trials.sampler.awaits_any):
        return False
    return bool(study.trials.enqueued) or not _is_spent(study)


def _is_spent(study: Study) -> bool:
    if study.trials.taken >= study.budget:
        return True
    # What was enqueued is tried, whatever is left to sample.
    return not study.trials.within and study.trials.sampler.is_exhausted()


def _next_to_send(study: Study) -> AttemptRow | None:
    """Returns the attempt that is to be sent now: one of a trial that goes on, or of the oldest that is sampled."""
    # Once each: what waits for the sampler is not looked at by every event.
    for row in [each for each in study.attempts.held.values() if study.trials.sampler.awaits(each.trial)]:
        study.attempts.hold_back(row)
    if not study.attempts.held:
        return None
    busy = study.attempts.count(AttemptState.SENT, AttemptState.RUNNING)
    if study.spec.parallel is not None and busy >= study.spec.parallel:
        return None
    return min(study.attempts.held.values(), key=lambda row: (row.number == 1, row.trial))


def _no_trial_goes_on(study: Study) -> bool:
    waiting = len(study.trials.paused) + (len(study.trials.enqueued) if study.state == "ending" else 0)
    if sum(study.trials.ended.values()) + waiting < study.trials.taken:
        return False
    return study.state == "ending" or not study.trials.may_promote()


def _limit_reached(study: Study, at: float) -> str:
    """Returns which limit of its spec the study has come to, in words; nothing where it may go on.

    It follows from the study's state and, for the timeout, from ``at``: an engine that is made anew finds the same.
    """
    spec, trials = study.spec, study.trials
    if spec.max_total_steps is not None and trials.epochs >= spec.max_total_steps:
        return f"max_total_steps is reached: {trials.epochs} epochs are recorded"
    if study.deadline is not None and at >= study.deadline:
        return f"timeout is reached: {spec.timeout:g} s since the first trial began"
    best = None if spec.target is None and spec.patience is None else trials.best.read()[0]
    if best is None:
        return ""
    if spec.target is not None:
        met = best.value >= spec.target if spec.direction == "maximize" else best.value <= spec.target
        if met:
            return f"target is reached: {best.value:g} by trial {best.number}"
    if spec.patience is not None and trials.ended_after(best.number) >= spec.patience:
        return f"patience is reached: {spec.patience} trials after trial {best.number} were not better"
    return ""
