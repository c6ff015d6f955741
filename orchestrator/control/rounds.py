"""The end of a round: what the engines staged is committed, then what they asked for is done."""

from __future__ import annotations

import logging
from collections.abc import Mapping

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


class Rounds:
    """Finishes rounds.

    Args:
        ports: The stream, the notifier and the stores.
        studies: The studies at hand.
        committer: Writes to the database.
        effects: Does what is committed.
        foreign: Goes on from a batch that was not written.
        heartbeats, slots: The runners and slots that are heard.
        bell: Rung where a command may have become due.
        outages: Says when a server is not available, and when it is again.
        hooks: What is called.
        clock: Time.

    Attributes:
        answers: The answers to commands that are to be committed with the round.
        folded: The number of stream entries that were folded in it.
    """

    def __init__(
        self,
        ports: Ports,
        studies: EngineRegistry,
        committer: Committer,
        effects: Effects,
        foreign: ForeignChanges,
        heartbeats: HeartbeatTracker,
        slots: SlotTracker,
        bell: Bell,
        outages: Outages,
        hooks: Hooks,
        clock: Clock,
    ) -> None:
        self._ports = ports
        self._studies = studies
        self._committer = committer
        self._effects = effects
        self._foreign = foreign
        self._heartbeats = heartbeats
        self._slots = slots
        self._bell = bell
        self._outages = outages
        self._hooks = hooks
        self._clock = clock
        self._publisher = ProgressPublisher(ports.events, studies)
        self.answers: dict[Command, str] = {}
        self.folded = 0

    @property
    def patience(self) -> float:
        """Seconds after which watchers are to be told something, whether anything happens or not."""
        return self._publisher.patience

    def finish(self) -> Written:
        """Commits what the engines staged, then does what they asked for. Returns what has become of it."""
        at = self._clock.wall()
        batches = self._studies.take()
        answers, self.answers = self.answers, {}
        written = self._committer.commit(batches, answers)
        if written.seconds is not None:
            self._hooks.phase(Phase.COMMITTED)
        for name, error in written.refused.items():
            del batches[name]
            self._foreign.give_up(name, error)
        self._effects.withdraw_confirmations(self._studies.suspended)
        for name, batch in batches.items():
            with self._studies.guarded(name):
                self._effects.add(name, batch)
                if batch.changes.notes:
                    notify = self._studies[name].spec.notify
                    self._ports.notifier.owe([PendingNotification(name, note, notify) for note in batch.changes.notes])
        self._studies.write_suspensions()
        self._effects.answer_commands((command.key, text) for command, text in written.answers.items())
        self._act(batches, at)
        for name, batch in batches.items():
            with self._studies.guarded(name):
                log_batch(name, batch)
        self._close_ended()
        self._bell.rung |= bool(written.refused)
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
        self._heartbeats.fell_behind()
        self._outages.redis.begin(found)

    def _act(self, batches: Mapping[str, Batch], at: float) -> None:
        try:
            self._effects.do()
            self._publisher.tell(batches, at)
            if self._outages.redis.lasts:
                # A server that still answers may take nothing.
                self._ports.events.probe()
                self._outages.redis.end()
        except Exception as error:
            self.lose_redis(error)

    def _close_ended(self) -> None:
        """Lets go of the studies that have ended, and has what is left of their files deleted."""
        for engine in self._studies.close_ended():
            with self._studies.guarded(engine.name):
                self._heartbeats.forget(row.token for row in engine.attempts)
                self._ports.checkpoints.delete_folder(engine.uid)
                self._ports.artifacts.sweep(engine.sweep())
                # Another run may wait for this one to end.
                self._bell.rung |= engine.spec.run is not None

    def _measure(self, written: Written, batches: Mapping[str, Batch]) -> None:
        round = Round(
            self.folded,
            written.seconds,
            batches,
            written.settled,
            self._studies.standing,
            self._slots.busy_and_idle,
            len(self._studies.suspended),
        )
        try:
            self._hooks.round(round)
        except Exception as error:
            if not is_of_the_study(error):
                raise
            log.error("a round cannot be measured: %s", describe(error), extra={"action": "unmeasured"})
