"""The end of a round: what the engines staged is committed, then what they asked for is done."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from orchestrator.common.clock import Clock
from orchestrator.control.batch_log import log_batch
from orchestrator.control.commit import Committer, Written
from orchestrator.control.effects import Effects
from orchestrator.control.engine_registry import EngineRegistry
from orchestrator.control.foreign_changes import ForeignChanges
from orchestrator.control.liveness import HeartbeatTracker, SlotTracker
from orchestrator.control.ports import Bell, Hooks, Phase, Ports, Round
from orchestrator.control.progress_publisher import ProgressPublisher
from orchestrator.control.study_boundary import Unsettled, is_of_the_study
from orchestrator.engine.outputs import Batch
from orchestrator.model.commands import Command
from orchestrator.model.notifications import PendingNotification
from orchestrator.model.suspension import describe
from tasks.server_errors import Outages, unavailable

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Rounds:
    """Finishes rounds.

    Attributes:
        answers: The answers to commands that are to be committed with the round.
        folded: The number of stream entries that were folded in it.
    """

    ports: Ports
    studies: EngineRegistry
    committer: Committer
    effects: Effects
    foreign: ForeignChanges
    publisher: ProgressPublisher
    heartbeats: HeartbeatTracker
    slots: SlotTracker
    bell: Bell
    outages: Outages
    hooks: Hooks
    clock: Clock
    answers: dict[Command, str] = field(default_factory=dict, init=False)
    folded: int = field(default=0, init=False)

    @property
    def patience(self) -> float:
        """Seconds until the next notice to watchers is due, whether anything happens or not."""
        return self.publisher.patience

    def finish(self) -> Written:
        """Commits what the engines staged, then does what they asked for. Returns the outcome of the commit."""
        at = self.clock.wall()
        batches = self.studies.take()
        answers, self.answers = self.answers, {}
        written = self.committer.commit(batches, answers)
        if written.seconds is not None:
            self.hooks.phase(Phase.COMMITTED)
            self.effects.window.note_commit(written.seconds)
        for name, error in written.refused.items():
            del batches[name]
            self.foreign.give_up(name, error)
        if self.studies.suspended:
            self.effects.withdraw_confirmations(self.studies.suspended)
        for name, batch in batches.items():
            with self.studies.guarded(name):
                self.studies.ask_replicas(name, batch)
                self.effects.add(name, batch)
                if batch.changes.notes:
                    notify = self.studies[name].spec.notify
                    self.ports.notifier.owe([PendingNotification(name, note, notify) for note in batch.changes.notes])
        self.studies.write_suspensions()
        self.effects.answer_commands((command.key, text) for command, text in written.answers.items())
        self._act(batches, at)
        self.studies.paces.sent(batches, self.clock.monotonic())
        for name, batch in batches.items():
            with self.studies.guarded(name):
                log_batch(name, batch)
        self._close_ended(batches)
        self.bell.rung |= bool(written.refused)
        self._measure(written, batches)
        self.folded = 0
        return written

    def settle(self) -> None:
        """Commits what the engines have staged.

        Raises:
            Unsettled: not all of it is written.
        """
        refused = self.finish().refused
        if refused:
            raise Unsettled(next(iter(refused)))

    def lose_redis(self, error: Exception) -> None:
        """Notes that Redis is not available: silence proves nothing for a while. Raises any other error again."""
        found = unavailable(error)
        if found is None or found.server != "redis":
            raise error
        self.heartbeats.fell_behind()
        self.outages.redis.begin(found)

    def _act(self, batches: Mapping[str, Batch], at: float) -> None:
        try:
            self.effects.do()
            self.publisher.tell(batches, at)
            if self.outages.redis.lasts:
                # A server that still answers may take nothing.
                self.ports.events.probe()
                self.outages.redis.end()
        except Exception as error:
            self.lose_redis(error)

    def _close_ended(self, names: Iterable[str]) -> None:
        """Lets go of those of these studies that have ended, and has what is left of their files deleted."""
        for engine in self.studies.close_ended(names):
            with self.studies.guarded(engine.name):
                self.heartbeats.forget(row.token for row in engine.attempts)
                self.ports.checkpoints.delete_folder(engine.uid)
                self.ports.artifacts.sweep(engine.sweep())
                # Another run may wait for this one to end.
                self.bell.rung |= engine.spec.run is not None

    def _measure(self, written: Written, batches: Mapping[str, Batch]) -> None:
        round = Round(
            self.folded,
            written.seconds,
            batches,
            written.settled,
            self.studies.standing,
            self.slots.busy_and_idle,
            len(self.studies.suspended),
            self.effects.code_bytes,
        )
        self.effects.code_bytes = 0
        try:
            self.hooks.round(round)
        except Exception as error:
            if not is_of_the_study(error):
                raise
            log.error("a round cannot be measured: %s", describe(error), extra={"action": "unmeasured"})
