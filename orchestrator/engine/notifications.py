"""Notifications to the targets that the spec names: a search has ended, or a trial is better than all before."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from orchestrator.engine.explanations import flag
from orchestrator.engine.state import Study
from orchestrator.model.changeset import NoteRow, TrialEnd
from orchestrator.model.progress_events import Best
from orchestrator.model.study_states import ENDED
from orchestrator.spec.notify import Event


def notes(study: Study, ends: Mapping[int, TrialEnd], state: tuple[str, str, float] | None) -> list[NoteRow]:
    """Returns the notifications that follow from a batch; of several bests in it, the last one.

    Args:
        study: The study, as it is behind the batch.
        ends: The trials that have ended in it.
        state: The study's new state, its reason and time in seconds since the epoch; ``None`` where it is as before.
    """
    notify = study.spec.notify
    made = []
    if ends and notify.posts and "best" in notify.on:
        best, _ = study.trials.best.read()
        if best is not None and best.number in ends:
            made.append(_note(study, f"best:{best.number}", "best", "post", ends[best.number].at))
    if state is not None and state[0] in ENDED:
        at = state[2]
        event: Event = "failed" if state[0] == "failed" else "finished"
        if notify.posts and event in notify.on:
            made.append(_note(study, f"ended:{at!r}", event, "post", at))
        if notify.command:
            made.append(_note(study, f"ended:{at!r}:command", event, "command", at))
    return made


def _note(study: Study, key: str, event: Event, kind: Literal["post", "command"], at: float) -> NoteRow:
    key = f"{study.uid}:{key}"
    return NoteRow(key, event, kind, _body(study, key, event, at), at)


def _body(study: Study, key: str, event: Event, at: float) -> str:
    best, front = study.trials.best.read()
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
