"""A `run` in a folder where another one works: it hands its study over, or waits, and takes over when that one ends."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from orchestrator.common.data_folder import redis_url_of, storage_url_of
from orchestrator.common.errors import BadInput, OrchestratorError
from orchestrator.common.file_lock import FolderInUse, holder_of, name_study
from orchestrator.common.formatting import cut, duration, listed
from orchestrator.common.optuna_import import import_optuna
from orchestrator.local.interruption import Endings, Interrupted, hold
from orchestrator.local.plan import Plan, has_ended
from orchestrator.local.running_search import Guest, RunningSearch, abandoned, describe, find, guest_of
from orchestrator.local.server_retry import outages_shown, server_retry
from orchestrator.messaging.code_sender import put_code_of
from orchestrator.model.study_states import ENDED
from orchestrator.notify.policy import COMMANDS as NOTIFY_COMMANDS
from orchestrator.terminal.views import View
from orchestrator.terminal.watch import follow, newest
from tasks.app import connect
from tasks.objective_allowlist import OBJECTIVES, Allowlist
from tasks.program.allowlist import COMMANDS, CommandAllowlist, entry_of

if TYPE_CHECKING:
    from orchestrator.common.settings import Settings
    from orchestrator.messaging.command_client import CommandClient
    from orchestrator.model.search_summary import Summary

POLL_SECONDS = 0.25
COME_UP_SECONDS = 180.0
"""Time that another run has from taking the folder to taking studies."""

_LONGEST_COMMAND = 120
GUEST_SECONDS = 2.0
"""Interval at which a run looks whether a process was killed that had handed it a study."""


class GuestWatch:
    """The studies that other runs in the folder have handed over: one that no process shows any more is interrupted.

    Args:
        folder: The data folder.
        study: This run's own study, which ends with it.
        issuer: Issues the commands.
    """

    def __init__(self, folder: Path, study: str, issuer: CommandClient) -> None:
        self._folder = folder
        self._study = study
        self._issuer = issuer
        self._looked = time.monotonic()

    def check(self) -> None:
        """Looks, now and then, whether a process was killed that showed a study."""
        if time.monotonic() - self._looked < GUEST_SECONDS:
            return
        self._looked = time.monotonic()
        for name in abandoned(self._folder):
            if name != self._study:
                self._issuer.enqueue("interrupt", name, {})


class HostGone(Exception):
    """The run that was asked has ended, or ends."""


def share(
    plan: Plan,
    view: View,
    folder: Path,
    busy: FolderInUse,
    endings: Endings,
    begun: float,
) -> Summary | None:
    """Has the `run` that works in the folder train the study of ``plan``, and shows it until it has ended.

    Where that one cannot train it, waits for its end. Returns the summary; ``None`` where the other one has ended, and
    the folder is to be locked again.

    Args:
        plan: Of this run.
        view: Takes what happens.
        folder: The data folder.
        busy: Says who works there.
        endings: Says whether this run was interrupted.
        begun: When this run began, by ``time.monotonic``.

    Raises:
        BadInput: the other one works with other servers, or the study cannot be gone on with.
    """
    if (host := _await_host(folder, busy, view, endings.check)) is None:
        return None
    mine = describe(plan.spec, plan.settings)
    who = f"the run of '{host.study}' (process {host.pid})"
    if host.servers != mine.servers:
        remedy = "wait for it, stop it, or set ORCHESTRATOR_DATA_DIR to another folder"
        raise BadInput(str(folder), f"{who} uses this data folder with another database or Redis", remedy)
    if obstacle := _obstacle(plan, host, mine):
        begins = f"'{plan.spec.name}' begins when it has ended{_expected(plan.settings, host.study)}"
        apart = "with another ORCHESTRATOR_DATA_DIR both run at once"
        view.say(f"{who} works in this folder, and {obstacle.why}; {begins}. They share if {obstacle.remedy}; {apart}")
        while _lives(folder, busy.holder):
            endings.check()
            time.sleep(POLL_SECONDS)
        return None
    view.say(f"{who} works in this folder, and trains '{plan.spec.name}' on its slots, too")
    if plan.slots.are_given:
        view.say("note: the slots that were asked for count once that run has ended")
    try:
        with guest_of(folder, plan.spec.name) as guest:
            return _show(plan, view, folder, host, guest, endings, begun)
    except HostGone:
        view.say(f"{who} has ended; going on with '{plan.spec.name}' here")
        return None


def _await_host(folder: Path, busy: FolderInUse, view: View, check: Callable[[], None]) -> RunningSearch | None:
    """Returns the run that works in the folder once it takes studies; ``None`` where it has ended before."""
    begun, said = time.monotonic(), False
    while _lives(folder, busy.holder):
        check()
        if (host := find(folder)) is not None and host.pid == busy.holder:
            return host
        waited = time.monotonic() - begun
        if waited > COME_UP_SECONDS:
            # It is of an earlier version, or hangs.
            raise busy
        if waited > 1.0 and not said:
            view.say(
                f"another run (process {busy.holder}) works in this folder, and does not take studies yet: waiting"
            )
            said = True
        time.sleep(POLL_SECONDS)
    return None


def _lives(folder: Path, pid: int) -> bool:
    return holder_of(folder) == pid


class _Obstacle(NamedTuple):
    """The reason why the other run cannot train the study, and the remedy; both continue a sentence."""

    why: str
    remedy: str


def _obstacle(plan: Plan, host: RunningSearch, mine: RunningSearch) -> _Obstacle | None:
    """Returns why the other run cannot train the study; ``None`` where it can."""
    spec = plan.spec
    if host.queue != mine.queue:
        return _Obstacle(
            f"serves the queue '{host.queue}', not '{mine.queue}'", f"both specs name one queue, such as '{host.queue}'"
        )
    if host.code != mine.code:
        apart = [name for name, digest in mine.parts.items() if host.parts.get(name, digest) != digest]
        what = f"with another {listed(apart)}" if apart else "with other settings, or from another folder"
        return _Obstacle(f"was started {what}", f"both have the same {listed(apart) if apart else 'settings'}")
    if spec.command is not None and CommandAllowlist.of({COMMANDS: host.commands}).refuse(spec.command.command()):
        entry = cut(entry_of(spec.command.command()), _LONGEST_COMMAND)
        return _Obstacle(
            "does not run the program of this spec", f"it was started with {COMMANDS}={shlex.quote(entry)}"
        )
    if spec.notify.command and not host.notify_commands:
        return _Obstacle(
            "does not run the command that this spec notifies by",
            f"it was started with {NOTIFY_COMMANDS}=1, or this one has notify.command removed",
        )
    if spec.code is None and spec.command is None and Allowlist.of(plan.environment).refuse(spec.reference):
        return _Obstacle(
            f"does not admit the objective '{spec.reference}'",
            f"both have {OBJECTIVES} with '{spec.reference.partition(':')[0]}' in it",
        )
    return None


def _expected(settings: Settings, study: str) -> str:
    """Returns when a study is expected to end, by its pace; empty where that is not known."""
    from orchestrator.queries.readonly import open_study_reader

    with suppress(OrchestratorError, SQLAlchemyError), open_study_reader(storage_url_of(settings)) as reader:
        if (eta := reader.overview(study).eta(time.time())) is not None:
            return f", in about {duration(eta)} at its pace"
    return ""


def _show(
    plan: Plan,
    view: View,
    folder: Path,
    host: RunningSearch,
    guest: Guest,
    endings: Endings,
    begun: float,
) -> Summary:
    import_optuna()
    from orchestrator.messaging.command_client import CommandClient
    from orchestrator.queries.study_summary import summarize
    from orchestrator.storage.command_table import CommandTable
    from orchestrator.storage.database import Database
    from orchestrator.storage.store import Store

    settings, spec = plan.settings, plan.spec
    url = redis_url_of(settings)
    if url is None:
        raise HostGone
    storage_url = storage_url_of(settings)

    def check() -> None:
        endings.check()
        if (now := find(folder)) is None or now.pid != host.pid or not _lives(folder, host.pid):
            raise HostGone

    retry = server_retry(check)
    with (
        outages_shown(view),
        closing(connect(url)) as client,
        closing(Database(storage_url)) as database,
        closing(Store(database)) as store,
    ):
        issuer = CommandClient(CommandTable(database), client, retry)
        try:
            retry(lambda: put_code_of(client, spec, settings.keyring()))
            since = retry(lambda: newest(client, spec.name))
            if issuer.host(spec, host.pid, check) not in ENDED:
                if settings.storage_url is None:
                    name_study(folder, spec.name, beside=True)
                follow(client, spec.name, since, view, check, lambda: retry(lambda: has_ended(store, spec.name)))
        except Interrupted:
            if spec.name == host.study or not guest.leave():
                endings.left = True
                view.say("no longer watching; the search goes on where it was begun")
            else:
                hold(plan, view, issuer, storage_url, endings)
            raise
        guest.leave()
        artifact_url = settings.artifact_url or str(folder / "artifacts")
        return retry(lambda: summarize(store, spec.name, storage_url, artifact_url, time.monotonic() - begun))
