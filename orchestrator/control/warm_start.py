"""The start of a scheduled run from the runs before it: configurations to begin with, and the value to compare with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from orchestrator.common.faults import Fault
from orchestrator.control.ports import Calendar
from orchestrator.model.planned_run import PlannedRun, StudyRun
from orchestrator.spec import Spec
from orchestrator.spec.configuration import check_values
from orchestrator.spec.schedule import LastRun, RunTable


def inherit(spec: Spec, slot: PlannedRun, calendar: Calendar) -> tuple[Spec, str]:
    """Returns the search that is the run of a slot, and what is to be known of what it begins with.

    Args:
        spec: The schedule's.
        slot: The run's.
        calendar: Where the runs before it are found.
    """
    changes: dict[str, Any] = {"name": slot.study}
    before = [run for run in calendar.runs(slot.schedule) if run.slot.planned < slot.planned and run.study_state]
    note = ""
    if spec.schedule is not None and spec.schedule.warm_start:
        configurations, note = _warm(spec, spec.schedule.warm_start, before, calendar)
        changes["enqueue"] = (*configurations, *spec.enqueue)
    changes["run"] = RunTable(schedule=slot.schedule, slot=slot.planned, last=_last(before, calendar))
    return spec.model_copy(update=changes), note


def _last(before: Sequence[StudyRun], calendar: Calendar) -> LastRun | None:
    """Returns the last run that came to its end by itself, with its best value."""
    for run in before:
        if run.study_state == "finished" and run.spec is not None and not run.spec.directions:
            best = next(iter(calendar.bests(run.slot.study, 1)), None)
            if best is not None and math.isfinite(best.value):
                return LastRun(study=run.slot.study, value=best.value)
    return None


def _warm(spec: Spec, most: int, before: Sequence[StudyRun], calendar: Calendar) -> tuple[list[dict[str, Any]], str]:
    """Returns the best configurations of the last run that has any, without what is not in the space any more."""
    for run in before:
        bests = calendar.bests(run.slot.study, most)
        if not bests:
            continue
        dropped: set[str] = set()
        configurations: list[dict[str, Any]] = []
        for best in bests:
            left, params = _within(spec, best.params)
            dropped |= left
            if params and params not in configurations:
                configurations.append(params)
        note = f"begins with the best {len(configurations)} of {run.slot.study}"
        return configurations, note + (f", without {', '.join(sorted(dropped))}" if dropped else "")
    return [], ""


def _within(spec: Spec, params: dict[str, Any]) -> tuple[set[str], dict[str, Any]]:
    """Returns which parameters [space] has no place for, by name or by value, and the others."""
    space = spec.distributions()
    kept = {}
    for name, value in params.items():
        try:
            check_values({name: value}, space)
        except Fault:
            continue
        kept[name] = value
    return params.keys() - kept.keys(), kept
