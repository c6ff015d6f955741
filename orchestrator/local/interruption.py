"""The end of a `run` that is interrupted: its study is held, and shown as interrupted."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from orchestrator.common.errors import BadInput
from orchestrator.terminal.views import View
from orchestrator.terminal.watch import show_current

if TYPE_CHECKING:
    from orchestrator.local.run import Plan
    from orchestrator.messaging.command_client import CommandClient

ANSWER_SECONDS = 3.0


def hold(plan: Plan, view: View, issuer: CommandClient, storage_url: str) -> None:
    """Says how the search is gone on with, has its control plane ask for no more trials, and shows its last state."""
    from orchestrator.messaging.command_client import NoAnswer
    from orchestrator.queries.readonly import open_study_reader

    study = plan.spec.name
    if plan.command_line is None:
        view.say("stopping; the same call goes on from here")
    else:
        view.say(f"stopping; the same command goes on from here, and so does 'orchestrator resume {study}'")
    with suppress(NoAnswer):
        try:
            issuer.command("interrupt", study, ANSWER_SECONDS)
        except BadInput:
            # A control plane of an earlier version leads, which knows no such command.
            with suppress(BadInput):
                issuer.command("pause", study, ANSWER_SECONDS)
        show_current(lambda: open_study_reader(storage_url), study, view)
