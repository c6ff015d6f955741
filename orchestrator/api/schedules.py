"""Scheduled searches: when those of a folder run, what came of their runs, and a run by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.api import access
from orchestrator.api.shown import Answer
from orchestrator.api.spec_input import load_spec
from orchestrator.common.errors import BadInput, OrchestratorError, did_you_mean

if TYPE_CHECKING:
    from orchestrator.common.settings import Settings
    from orchestrator.messaging.command_client import CommandClient

TREND = 10
"""Last runs whose best values are shown side by side, whether their studies are there or not."""

NEXT = 3
"""Upcoming runs that are shown of each schedule."""


def read_schedules(reader: access.Reader, folder: Path, last: int) -> Answer:
    """Says when the schedules of a folder run next, how their last runs ended, and what is wrong with its files.

    Raises:
        BadInput: the folder cannot be read, or there is no database.
    """
    from orchestrator.schedule.folder import Folder
    from orchestrator.schedule.schedule_status import read_statuses
    from orchestrator.terminal.schedule_table import render, to_json

    contents, now = Folder(folder).read(), time.time()
    with reader() as studies:
        known = studies.schedules(contents.schedules)
        runs = read_statuses(contents, known, lambda name: studies.slots(name, max(last, TREND)), now, NEXT, last)
    return Answer(lambda width: [render(runs, contents.problems, width, now)], to_json(runs, contents.problems))


def run_now(
    settings: Settings,
    open_client: Callable[..., AbstractContextManager[CommandClient]],
    name: str,
    folder: Path,
    note: Callable[[str], None] = lambda _: None,
) -> str:
    """Runs a schedule beside its timetable, and subject to its ``overlap``; returns the name of the study.

    Args:
        settings: Where the fleet is; its control plane runs the search.
        open_client: Opens the way to that.
        name: Of the schedule.
        folder: Holds its spec.
        note: Takes what the user should know, a line each.

    Raises:
        BadInput: there is no such schedule, it is refused, or no fleet is set.
        OrchestratorError: it was skipped; the message says why.
        NoAnswer: no control plane answered in time.
    """
    from orchestrator.schedule.folder import Folder

    contents = Folder(folder).read()
    if name not in contents.schedules:
        for problem in contents.problems.values():
            note(problem)
        remedy = did_you_mean(name, contents.schedules) if contents.schedules else "no spec there has a [schedule]"
        raise BadInput(f"schedule '{name}'", f"there is none of that name in {folder}", remedy)
    search = load_spec(contents.schedules[name].path, settings)
    # Only a fleet's control plane runs it: that of a `run` handles its own study alone.
    access.fleet_urls(settings)
    with open_client(prepare=True) as client:
        reply = client.run_schedule_now(search, int(time.time()), access.ANSWER_SECONDS)
    if reply["state"] == "refused":
        raise BadInput(f"schedule '{name}'", reply["reason"])
    if reply["state"] not in ("running", "waiting"):
        raise OrchestratorError(f"schedule '{name}' was not run: {reply['reason']}")
    if reply["reason"]:
        note(reply["reason"])
    return str(reply["study"])
