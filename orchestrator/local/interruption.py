"""The end of a `run` by a signal: its study is held, and shown as interrupted; a second signal ends it at once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from orchestrator.common.errors import BadInput, OrchestratorError
from orchestrator.common.signals import StopRequest
from orchestrator.local.child_process import ChildProcess
from orchestrator.terminal.views import View
from orchestrator.terminal.watch import show_current

if TYPE_CHECKING:
    from orchestrator.local.plan import Plan
    from orchestrator.messaging.command_client import CommandClient

ANSWER_SECONDS = 3.0


class Interrupted(OrchestratorError):
    """A signal has asked for the end of the search; ``signum`` is the first one, such as Ctrl-C's SIGINT."""

    exit_code = 130

    def __init__(self, signum: signal.Signals) -> None:
        super().__init__("interrupted")
        self.signum = signum


class Endings:
    """Handles the signals that end a program: the first one interrupts the search, a later one ends it at once.

    Args:
        ends_process: Whether a later one ends this process too, and not the search alone.

    Attributes:
        children: The processes to end.
    """

    def __init__(self, *, ends_process: bool) -> None:
        self._ends_process = ends_process
        self._first: signal.Signals | None = None
        self._at_once = False
        self.children: list[ChildProcess] = []

    def __call__(self, signum: signal.Signals, request: StopRequest) -> None:
        if self._first is None:
            self._first = signum
            request.set()
            return
        if signum == signal.SIGHUP:
            return  # a terminal that is closed sends it more than once
        # There may be no stream, it may be closed, or this signal has interrupted a write to it.
        with suppress(OSError, ValueError, RuntimeError, AttributeError):
            sys.stderr.write("\nended at once\n")
        if self._ends_process:
            # The kernel ends the children with this process.
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        self._at_once = True
        for child in self.children:
            child.kill()

    def check(self) -> None:
        """Raises Interrupted after the first signal."""
        if self._first is not None:
            raise Interrupted(self._first)

    def check_at_once(self) -> None:
        """Raises Interrupted after a later one: there is no control plane any more that could answer."""
        if self._at_once:
            self.check()


def hold(plan: Plan, view: View, issuer: CommandClient, storage_url: str, check: Callable[[], None]) -> None:
    """Says how the search is gone on with, has its control plane ask for no more trials, and shows its last state.

    ``check`` is called while the control plane's answer is waited for; what it raises ends the wait.
    """
    from orchestrator.messaging.command_client import NoAnswer
    from orchestrator.queries.readonly import open_study_reader

    study = plan.spec.name
    if plan.command_line is None:
        view.say("stopping; the same call goes on from here")
    else:
        view.say(f"stopping; the same command goes on from here, and so does 'orchestrator resume {study}'")
    with suppress(NoAnswer):
        try:
            issuer.command("interrupt", study, ANSWER_SECONDS, check)
        except BadInput:
            # A control plane of an earlier version leads, which knows no such command.
            with suppress(BadInput):
                issuer.command("pause", study, ANSWER_SECONDS, check)
        show_current(lambda: open_study_reader(storage_url), study, view)
