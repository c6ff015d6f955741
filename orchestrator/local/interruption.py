"""The end of a `run` by a signal: its study is held, and shown as interrupted; a second signal ends it at once."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from orchestrator.common.data_folder import storage_url_of
from orchestrator.common.errors import BadInput, OrchestratorError, StudyFailed
from orchestrator.common.signals import StopRequest
from orchestrator.local.child_process import ChildProcess
from orchestrator.model.state_words import UNATTENDED
from orchestrator.model.study_states import MOVES
from orchestrator.terminal.views import View
from orchestrator.terminal.watch import show_current

if TYPE_CHECKING:
    from orchestrator.local.plan import Plan
    from orchestrator.messaging.command_client import CommandClient

ANSWER_SECONDS = 3.0

POLL_SECONDS = 0.1


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
        told: Whether the user was told how the search is gone on with.
        left: Whether another run goes on with the study.
    """

    def __init__(self, *, ends_process: bool) -> None:
        self._ends_process = ends_process
        self._first: signal.Signals | None = None
        self._at_once = False
        self.children: list[ChildProcess] = []
        self.told = False
        self.left = False

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


def hold(plan: Plan, view: View, issuer: CommandClient, storage_url: str, endings: Endings) -> None:
    """Says how the search is gone on with, has its control plane ask for no more trials, and shows its last state."""
    from orchestrator.messaging.command_client import NoAnswer
    from orchestrator.queries.readonly import open_study_reader

    study = plan.spec.name
    _tell(plan, view, "stopping", endings)
    with suppress(NoAnswer):
        try:
            issuer.command("interrupt", study, ANSWER_SECONDS, endings.check_at_once)
        except BadInput:
            # A control plane of an earlier version leads, which knows no such command.
            with suppress(BadInput):
                issuer.command("pause", study, ANSWER_SECONDS, endings.check_at_once)
        show_current(lambda: open_study_reader(storage_url), study, view)


@contextmanager
def left_interrupted(plan: Plan, view: View, endings: Endings) -> Iterator[None]:
    """Leaves a study as interrupted, also where its control plane was gone, or had not begun yet, when its run ended.

    A study that another control plane looks after stays as it is, and so does one of a run that could not begin.
    """
    try:
        yield
    except (Interrupted, StudyFailed) as error:
        # The database may be gone, or away: the study counts as unattended then.
        with suppress(OrchestratorError, SQLAlchemyError):
            if _interrupt_unattended(plan, endings) and isinstance(error, Interrupted) and not endings.told:
                _tell(plan, view, "stopped", endings)
        raise


def _interrupt_unattended(plan: Plan, endings: Endings) -> bool:
    from orchestrator.control.unattended import steer_unattended
    from orchestrator.queries.readonly import open_study_reader

    def state() -> str:
        with open_study_reader(storage_url_of(plan.settings)) as reader:
            return reader.overview(plan.spec.name).progress.state

    deadline = time.monotonic() + ANSWER_SECONDS
    while (found := state()) != UNATTENDED:
        # The run that it was handed to may be ending, and its control plane with it.
        if found not in MOVES or endings.left or time.monotonic() > deadline:
            return False
        endings.check_at_once()
        time.sleep(POLL_SECONDS)
    steer_unattended(plan.settings, plan.spec.name, "interrupt", ANSWER_SECONDS, endings.check_at_once)
    return True


def _tell(plan: Plan, view: View, what: str, endings: Endings) -> None:
    endings.told = True
    if plan.command_line is None:
        view.say(f"{what}; the same call goes on from here")
    else:
        view.say(f"{what}; the same command goes on from here, and so does 'orchestrator resume {plan.spec.name}'")
