"""The result of a search: one JSON object for programs, a few lines for people."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from rich.cells import cell_len, set_cell_size

from orchestrator.common.advice import how_to
from orchestrator.common.formatting import (
    NONE_FEASIBLE,
    count,
    duration,
    number,
    numbers,
    one_line,
    params,
    percent,
    percentiles,
)
from orchestrator.common.json_text import plain
from orchestrator.model.progress_events import Optimum
from orchestrator.model.search_summary import Epochs, NotStored, Summary
from orchestrator.model.state_words import study_word

WIDEST = 80
MOST_OPTIMA = 10
MOST_NOT_STORED = 10
_LABEL = 15


def to_json(summary: Summary) -> dict[str, Any]:
    """Returns the object that ``run --json`` prints; NaN and infinities, which JSON lacks, are null."""
    best = summary.best
    result: dict[str, Any] = {
        "study": summary.study,
        "storage": summary.storage,
        "state": summary.state,
        "best": best and {"number": best.number, "value": best.value, "params": best.params},
        "trials": msgspec.structs.asdict(summary.trials),
        "epochs": msgspec.structs.asdict(summary.epochs),
        "prune_latency_ms": _ranks(summary.prune_latency_ms),
        "slot_gap_ms": _ranks(summary.slot_gap_ms),
        "wall_s": round(summary.wall_s, 3) if math.isfinite(summary.wall_s) else None,
    }
    if summary.slot_s is not None:
        result["slot_s"] = round(summary.slot_s, 3)
    if not summary.trials.waiting:
        del result["trials"]["waiting"]
    if best is not None and summary.model is not None:
        result["best"]["model"] = msgspec.structs.asdict(summary.model)
    if summary.not_stored:
        result["models_not_stored"] = [msgspec.structs.asdict(each) for each in summary.not_stored]
    if summary.front is not None:
        result["best_trials"] = [msgspec.structs.asdict(each) for each in summary.front]
    if summary.rungs:
        result["rungs"] = [{"step": step, "trials": held} for step, held in summary.rungs]
    for key, measured in (
        ("audit", summary.audit),
        ("shadow", summary.shadow),
        ("calibration", summary.calibration),
    ):
        if measured is not None:
            result[key] = msgspec.structs.asdict(measured)
    if summary.reason:
        result["reason"] = summary.reason
    made: dict[str, Any] = plain(result)
    return made


def _ranks(measured: dict[str, float] | None) -> dict[str, float] | None:
    return None if measured is None else {name: value for name, value in measured.items() if name != "count"}


def render_summary(summary: Summary, width: int) -> str:
    """Returns the summary as text, without a final line end.

    Lines keep to ``width`` and 80 columns, except those to be copied: where model and study are and how to open it.
    """
    room = max(10, min(width, WIDEST) - _LABEL)
    trials = summary.trials
    split = f"{trials.complete} complete, {trials.pruned} pruned, {trials.failed} failed"
    waits = f"; {trials.waiting} waiting" if trials.waiting else ""
    lines = [
        *_lines("study", [one_line(summary.study)], room),
        *_lines("result", _pack(_outcome(summary).split(), room, " "), room),
        *_lines("best", _best(summary, room), room),
        *_lines("trials", [f"{trials.ended} ended: {split}{waits}"], room),
        *_lines("epochs", [_epochs(summary.epochs)], room),
        *_lines("rungs", _rungs(summary.rungs), room),
        *_lines("audit", summary.audit.lines() if summary.audit else [], room),
        *_lines("predictions", summary.calibration.lines() if summary.calibration else [], room),
        *_lines("shadow", summary.shadow.lines() if summary.shadow else [], room),
        *_lines("prune latency", _times(summary.prune_latency_ms), room),
        *_lines("slot gap", _times(summary.slot_gap_ms), room),
        *_lines("wall time", [_wall(summary)], room),
    ]
    storage = one_line(summary.storage)
    name, url = (json.dumps(text, ensure_ascii=False) for text in (one_line(summary.study), storage))
    if summary.model is not None:
        copies = how_to("models get", summary.study, "best")
        lines.append(f"{'best model':<{_LABEL}}{one_line(summary.model.filename)}: {one_line(copies)}")
    lines += _lines("not stored", _not_stored(summary.not_stored), room)
    lines.append(f"{'stored in':<{_LABEL}}{storage}")
    lines.append(f"{'open it with':<{_LABEL}}optuna.load_study(study_name={name}, storage={url})")
    return "\n".join(lines)


def _wall(summary: Summary) -> str:
    on_slots = "" if summary.slot_s is None else f"; {duration(summary.slot_s)} on slots"
    return duration(summary.wall_s) + on_slots


def _outcome(summary: Summary) -> str:
    reason = one_line(summary.reason)
    word = study_word(summary.state)
    return f"{word}: {reason}" if reason else word


def _best(summary: Summary, room: int) -> list[str]:
    best, front = summary.best, summary.front
    if front:
        return [f"Pareto front of {count(len(front), 'trial')}", *map(_optimum, front[:MOST_OPTIMA]), *_rest(front)]
    if best is None:
        return [f"none: {NONE_FEASIBLE if summary.trials.complete else 'no trial completed'}"]
    return [f"{number(best.value)} by trial {best.number}", *_pack(params(best.params), room, "  ")]


def _not_stored(models: Sequence[NotStored]) -> list[str]:
    named = [f"model '{one_line(each.filename)}' of trial {each.trial}: {one_line(each.problem)}" for each in models]
    more = len(named) - MOST_NOT_STORED
    return [*named[:MOST_NOT_STORED], *([f"… and {count(more, 'model')} more"] if more > 0 else [])]


def _optimum(optimum: Optimum) -> str:
    return "  ".join([f"{numbers(optimum.values)} by trial {optimum.number}", *params(optimum.params)])


def _rest(front: Sequence[Optimum]) -> list[str]:
    return [f"… and {len(front) - MOST_OPTIMA} more"] if len(front) > MOST_OPTIMA else []


def _epochs(epochs: Epochs) -> str:
    if epochs.budget is None:
        return f"{epochs.trained} trained"
    text = f"{epochs.trained} of {epochs.budget} trained ({percent(epochs.trained, epochs.budget)})"
    if epochs.saved is not None:
        text += f", {epochs.saved} saved by pruning ({percent(epochs.saved, epochs.trained + epochs.saved)})"
    return text


def _rungs(rungs: Sequence[tuple[int, int]]) -> list[str]:
    """Returns a line for each rung: its epoch, its trials, and a bar that is longest for the fullest rung."""
    most = max((held for _, held in rungs), default=0)
    width = max((len(str(step)) for step, _ in rungs), default=0)
    digits = len(str(most))
    return [
        f"epoch {step:>{width}} {held:>{digits}} {'█' * math.ceil(30 * held / max(most, 1))}" for step, held in rungs
    ]


def _times(measured: dict[str, float] | None) -> list[str]:
    return [] if measured is None else [percentiles(measured)]


def _pack(items: Iterable[str], room: int, gap: str) -> list[str]:
    """Returns lines that hold as many items as fit."""
    rows: list[str] = []
    for item in items:
        if rows and cell_len(rows[-1] + gap + item) <= room:
            rows[-1] += gap + item
        else:
            rows.append(item)
    return rows


def _lines(label: str, texts: Sequence[str], room: int) -> list[str]:
    """Returns a clipped line for each text, the first one behind the label."""
    clipped = [text if cell_len(text) <= room else set_cell_size(text, room - 1).rstrip() + "…" for text in texts]
    labels = [label, *[""] * len(clipped)]
    return [f"{label:<{_LABEL}}{text}".rstrip() for label, text in zip(labels, clipped, strict=False)]
