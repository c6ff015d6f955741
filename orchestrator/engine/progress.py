"""Where a study stands, as watchers are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.model.lifecycle import WAITING, AttemptState
from orchestrator.model.progress_events import Progress, SlotLine

if TYPE_CHECKING:
    from orchestrator.engine.study import StudyEngine


def progress(engine: StudyEngine) -> Progress:
    """Returns the study's progress; costs as much as there are live attempts."""
    running = engine.attempts.in_state(AttemptState.RUNNING)
    best, front = engine.trials.best()
    return Progress(
        study=engine.name,
        state=engine.state,
        reason=engine.reason,
        budget=engine.budget,
        complete=engine.trials.ended["COMPLETE"],
        pruned=engine.trials.ended["PRUNED"],
        failed=engine.trials.ended["FAIL"],
        running=len(running),
        waiting=engine.attempts.count(*WAITING),
        paused=len(engine.trials.paused),
        epochs=engine.trials.epochs,
        max_steps=engine.spec.max_steps,
        epochs_saved=engine.trials.epochs_saved,
        best=best,
        front=front,
        slots=tuple(
            SlotLine(
                slot=row.slot,
                device=row.device,
                trial=row.trial,
                attempt=row.number,
                epochs=engine.trials.lengths.of(row.trial),
                step=next(reversed(values), None),
                value=values[next(reversed(values))] if values else None,
                silent=None if (silence := engine.silence(row.trial)) is None else engine.storage.now - silence.since,
                pace=None if silence is None else silence.pace,
            )
            for row in running
            if (values := engine.storage.get_trial(row.trial).intermediate_values) is not None
        ),
    )
