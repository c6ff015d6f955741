"""What is to be told to whom the spec names: that a search has ended, that a trial is better than all before."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any, Literal

from orchestrator.engine.regression_check import flag
from orchestrator.engine.state import Study
from orchestrator.model.changeset import Changes, NoteRow
from orchestrator.model.progress_events import Best
from orchestrator.model.study_states import ENDED
from orchestrator.spec.notify import Event


def notes(study: Study, changes: Changes) -> list[NoteRow]:
    """Returns what is to be told of a batch. It ends with the batch: of several bests in it the last one counts."""
    notify = study.spec.notify
    made = []
    if changes.ends and notify.posts and "best" in notify.on:
        best, _ = study.trials.best()
        if best is not None and best.number in changes.ends:
            made.append(_note(study, f"best:{best.number}", "best", "post", changes.ends[best.number].at))
    if changes.study_state is not None and changes.study_state[0] in ENDED:
        state, _, at = changes.study_state
        event: Event = "failed" if state == "failed" else "finished"
        if notify.posts and event in notify.on:
            made.append(_note(study, f"ended:{at!r}", event, "post", at))
        if notify.command:
            made.append(_note(study, f"ended:{at!r}:command", event, "command", at))
    return made


def _note(study: Study, key: str, event: Event, kind: Literal["post", "command"], at: float) -> NoteRow:
    key = f"{study.uid}:{key}"
    return NoteRow(key, event, kind, _body(study, key, event, at), at)


def _body(study: Study, key: str, event: Event, at: float) -> str:
    best, front = study.trials.best()
    flagged = flag(study.spec, study.state, best, study.trials.ended["COMPLETE"])
    ended = study.trials.ended
    trials = {"complete": ended["COMPLETE"], "pruned": ended["PRUNED"], "failed": ended["FAIL"]}
    told: dict[str, Any] = {
        "id": key,
        "text": _text(study, event, best, front) + (f"; flagged: {flagged}" if flagged else ""),
        "study": study.name,
        "event": event,
        "state": study.state,
        "reason": study.reason,
        "best": None if best is None else {"number": best.number, "value": best.value, "params": best.params},
        "trials": trials,
        "epochs": study.trials.epochs,
        "at": datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
    if front is not None:
        told["front"] = front
    if flagged is not None:
        told["flagged"] = flagged
    return json.dumps(_finite(told), allow_nan=False)


def _text(study: Study, event: Event, best: Best | None, front: int | None) -> str:
    """The same in one line, for programs that show a line and nothing else."""
    found = "no best yet"
    if front is not None:
        found = f"Pareto front of {front}"
    elif best is not None:
        found = f"best {best.value:.6g} by trial {best.number}"
    if event == "best":
        return f"study {study.name}: {found}"
    why = f" ({study.reason})" if study.reason else ""
    ended = study.trials.ended
    counts = f"{ended['COMPLETE']} complete, {ended['PRUNED']} pruned, {ended['FAIL']} failed"
    return f"study {study.name} {study.state}{why}: {found}; {counts}"


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinities."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
