"""Where a study stands, as watchers are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.lifecycle import WAITING, AttemptState
from orchestrator.notices import Best, Progress, SlotLine

if TYPE_CHECKING:
    from orchestrator.engine.study import StudyEngine


def progress(engine: StudyEngine) -> Progress:
    """Returns the study's progress; costs as much as there are live attempts."""
    running = engine.attempts.in_state(AttemptState.RUNNING)
    return Progress(
        study=engine.name,
        state=engine.state,
        reason=engine.reason,
        budget=engine.spec.trials,
        complete=engine.trials.ended["COMPLETE"],
        pruned=engine.trials.ended["PRUNED"],
        failed=engine.trials.ended["FAIL"],
        running=len(running),
        waiting=engine.attempts.count(*WAITING),
        paused=len(engine.trials.paused),
        epochs=engine.trials.epochs,
        max_steps=engine.spec.max_steps,
        epochs_saved=engine.trials.epochs_saved,
        best=_best(engine),
        slots=tuple(
            SlotLine(
                slot=row.slot,
                device=row.device,
                trial=row.trial,
                attempt=row.number,
                epochs=len(values),
                step=next(reversed(values), None),
                value=values[next(reversed(values))] if values else None,
            )
            for row in running
            if (values := engine.mirror.get_trial(row.trial).intermediate_values) is not None
        ),
    )


def _best(engine: StudyEngine) -> Best | None:
    try:
        trial = engine.mirror.get_best_trial(0)
    except ValueError:
        return None
    if trial.value is None:
        return None
    return Best(number=trial.number, value=trial.value, params=trial.params)
