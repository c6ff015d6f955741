"""The lines of the control plane's log about a batch that is committed."""

from __future__ import annotations

import logging
from typing import Any

from orchestrator.engine.outputs import Batch
from orchestrator.model.changeset import AttemptRow
from orchestrator.model.progress_events import TakenUp, TrialEnded

log = logging.getLogger(__name__)


def of_trial(action: str, study: str, trial: int, attempt: AttemptRow | None) -> dict[str, Any]:
    """Returns the fields of a line about a trial, and about an attempt of it where there is one."""
    fields = {"action": action, "study": study, "trial": trial}
    return fields if attempt is None else {**fields, "attempt": attempt.number, "token": attempt.token}


def log_batch(study: str, batch: Batch) -> None:
    """Says which trials have ended, which are attempted again, which train with other source, and which were begun by
    another program."""
    if not batch.notices and not batch.figures.retries:
        return
    attempts = batch.changes.attempts
    # The last one of each trial comes last.
    last = {row.trial: row for row in sorted(attempts.values(), key=lambda row: row.number)}
    for notice in batch.notices:
        if isinstance(notice, TakenUp):
            log.warning("study %s: %s", study, notice.text(), extra={"action": "taken_up", "study": study})
            continue
        trial = notice.number
        if isinstance(notice, TrialEnded):
            why = f": {notice.detail.splitlines()[0]}" if notice.detail else ""
            extra = of_trial("trial_ended", study, trial, last.get(trial))
            text = "study %s: trial %d %s after %d epochs%s"
            log.info(text, study, trial, notice.state, notice.epochs, why, extra=extra)
        else:
            extra = of_trial("other_source", study, trial, last.get(trial))
            log.warning("study %s: %s", study, notice.text(), extra=extra)
    for token, trial, number, cause in batch.figures.retries:
        extra = of_trial("attempted_again", study, trial, attempts.get(token))
        log.info("study %s: trial %d is attempted again (attempt %d): %s", study, trial, number, cause, extra=extra)
