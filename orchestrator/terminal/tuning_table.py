"""The output of ``orchestrator tune-rule``: the rule that it recommends, the evidence, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from orchestrator.common.formatting import count, cut, one_line
from orchestrator.model.records import Recording
from orchestrator.queries.rule_tuning import ENOUGH, ORDERS, TOLERATED, Judged, recommend
from orchestrator.terminal.table_layout import Column, lay_out, no_room

_LONGEST = 44
_KINDS = ((False, "without checkpoints"), (True, "with checkpoints"))


def render(recordings: Sequence[Recording], judged: Sequence[Judged], width: int) -> list[Text]:
    """Returns the lines."""
    order = sorted(judged, key=lambda each: each.epochs)
    columns = [
        Column("rule", [(cut(each.label, _LONGEST), "") for each in order], False, 0, 12),
        Column("epochs", [(_share(each.epochs, each.epochs_error), "") for each in order], True, 0),
        Column("loss", [(f"{each.loss:.3f} ± {each.loss_error:.3f}", "") for each in order], True, 0),
        Column("winner kept", [(f"{100 * each.kept:.0f}%", "") for each in order], True, 1),
    ]
    lines, left_out = lay_out(columns, width)
    said = [Text(f"{kind}: {_advice(judged, promotes)}") for promotes, kind in _KINDS]
    notes = [Text(each) for each in (*_evidence(recordings), *([no_room(left_out)] if left_out else []))]
    return [*said, Text(), *lines, Text(), *notes]


def to_json(recordings: Sequence[Recording], judged: Sequence[Judged]) -> dict[str, Any]:
    """Returns the object that ``tune-rule --json`` prints."""
    best = {promotes: recommend(judged, promotes=promotes) for promotes, _ in _KINDS}
    labels = {promotes: None if found is None else found.label for promotes, found in best.items()}
    return {
        "studies": [recording.study.name for recording in recordings],
        "completed": sum(len(recording.study.completed) for recording in recordings),
        "recommended": {
            "without_checkpoints": labels[False],
            "with_checkpoints": labels[True],
        },
        "rules": [
            {
                "pruner": each.label,
                "needs_checkpoints": each.promotes,
                "searches": each.searches,
                "epochs": each.epochs,
                "epochs_error": each.epochs_error,
                "loss": each.loss,
                "loss_error": each.loss_error,
                "winner_kept": each.kept,
            }
            for each in judged
        ],
    }


def _advice(judged: Sequence[Judged], promotes: bool) -> str:
    best = recommend(judged, promotes=promotes)
    if not any(each.promotes is promotes for each in judged):
        return "no rule could be tried: no trial has completed, or all are too short"
    if best is None:
        return f"no rule is known to lose less than {TOLERATED:g}"
    epochs = _share(best.epochs, best.epochs_error)
    return f"{best.label} trains {epochs} of the epochs and loses {best.loss:.3f} ± {best.loss_error:.3f}"


def _share(mean: float, error: float) -> str:
    return f"{100 * mean:.0f}% ± {100 * error:.0f}%"


def _evidence(recordings: Sequence[Recording]) -> list[str]:
    completed = sum(len(recording.study.completed) for recording in recordings)
    cut_off = sum(each.state == "PRUNED" for recording in recordings for each in recording.trials.values())
    lines = [f"Each rule searched among {count(completed, 'completed trial')}, in {ORDERS} orders."]
    lines.append("loss: distance of the best trial left to the best of all, in units of best to median.")
    lines.append("±: standard error; it is rather larger, as the orders of one study are alike.")
    if silent := [one_line(each.study.name) for each in recordings if each.study.max_steps is None]:
        lines.append(
            f"{', '.join(silent)}: no max_steps is said; rules that need it took the longest completed trial's."
        )
    if cut_off:
        lines.append(f"{count(cut_off, 'trial')} were pruned when they were recorded, and end there for each rule.")
    if completed < ENOUGH:
        lines.append(f"Fewer than {ENOUGH} completed trials hardly tell rules apart: record more with pruner 'none'.")
    return lines
