"""A control plane put together from its parts."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from orchestrator.common.clock import Clock
from orchestrator.control.command_handler import CommandHandler
from orchestrator.control.commit import Committer
from orchestrator.control.controller import Controller
from orchestrator.control.effects import Effects
from orchestrator.control.engine_registry import EngineRegistry
from orchestrator.control.event_router import EventRouter
from orchestrator.control.foreign_changes import ForeignChanges
from orchestrator.control.journal import Journal
from orchestrator.control.liveness import HeartbeatTracker, SlotTracker
from orchestrator.control.ports import Bell, Hooks, Ports
from orchestrator.control.progress_publisher import ProgressPublisher
from orchestrator.control.recovery import Recovery
from orchestrator.control.rounds import Rounds
from orchestrator.control.run_cleanup import RunCleanup
from orchestrator.control.scheduled_runs import ScheduledRuns
from orchestrator.control.study_deletion import StudyDeletion
from orchestrator.control.supervision import Supervisor
from tasks.server_errors import Outages
from tasks.signing import UNSIGNED, Keyring

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """Options of a control plane.

    Attributes:
        lease: Seconds that a runner may be silent.
        heartbeat: Seconds between two transactions, at the most.
        only: Name of the one study to look after; all of them when empty.
        run: Process id of the `run` that the control plane belongs to; 0 where there is none.
        keyring: Verifies what keepers send.
        record: Records what the engines are fed.
    """

    lease: float
    heartbeat: float
    only: str = ""
    run: int = 0
    keyring: Keyring = UNSIGNED
    record: Journal | None = None


def make_controller(
    ports: Ports,
    options: Options,
    hooks: Hooks | None = None,
    clock: Clock | None = None,
    outages: Outages | None = None,
) -> Controller:
    """Returns the loop of a control plane.

    Args:
        ports: The world.
        options: How it works.
        hooks: What it calls.
        clock: Time.
        outages: Says when a server is not available, and when it is again.
    """
    hooks = hooks or Hooks()
    civil = clock or Clock()
    clock = civil.steady()
    outages = outages or Outages(log, monotonic=clock.monotonic)
    only, bell = options.only, Bell()
    heartbeats = HeartbeatTracker(options.lease, options.heartbeat)
    slots = SlotTracker(heartbeats)
    studies = EngineRegistry(ports.store, options.record, clock, ports.replicas, slots, hooks.progress)
    effects = Effects(ports, studies, heartbeats, slots, clock, hooks.phase)
    recovery = Recovery(ports, studies, effects, heartbeats, clock, only)
    router = EventRouter(
        ports.events, studies, heartbeats, slots, effects, bell, only, clock, options.keyring, hooks.phase
    )
    publisher = ProgressPublisher(ports.events, studies)
    foreign = ForeignChanges(ports.store, ports.events, studies, effects, heartbeats)
    committer = Committer(ports.store, ports.notifier, outages.database, clock, options.heartbeat, hooks.progress)
    rounds = Rounds(
        ports, studies, committer, effects, foreign, publisher, heartbeats, slots, bell, outages, hooks, clock
    )
    scheduled = deletion = None
    if ports.calendar is not None and ports.reports is not None:
        deletion = StudyDeletion(ports.calendar, ports.checkpoints, ports.artifacts, ports.reports, ports.events.forget)
        if not only:
            cleanup = RunCleanup(ports.calendar, studies, deletion, ports.reports, civil)
            scheduled = ScheduledRuns(ports, ports.calendar, studies, rounds, cleanup, civil)
    commands = CommandHandler(ports, studies, rounds, recovery, scheduled, deletion, clock, only, options.run)
    supervisor = Supervisor(ports.events, studies, heartbeats, slots, foreign, recovery, bell, clock, options.heartbeat)
    return Controller(
        ports, studies, router, commands, supervisor, recovery, rounds, effects, bell, clock, hooks.progress
    )
