"""The control plane's loop: read, fold, commit, act, acknowledge. The order is the whole point."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from orchestrator.common.clock import Clock
from orchestrator.common.errors import ConsumerGroupMissing
from orchestrator.control.command_handler import CommandHandler
from orchestrator.control.commit import RETRY_SECONDS
from orchestrator.control.effects import Effects
from orchestrator.control.engine_registry import EngineRegistry
from orchestrator.control.event_router import EventRouter
from orchestrator.control.ports import Bell, Ports, ProgressHook
from orchestrator.control.recovery import Recovery
from orchestrator.control.rounds import Rounds
from orchestrator.control.supervision import Supervisor

log = logging.getLogger(__name__)

ROUND_SECONDS = 0.05
"""Time for which a round goes on reading what is there already."""

MOST_EVENTS = 4_000
"""Entries that one round folds at the most; each is acknowledged in one command with the others."""

MOST_PUT_OFF = 3
"""Rounds with events in a row in which no study is read: with a thousand trials that takes a tenth of a second."""


@dataclass
class Outcome:
    """The outcome of one round."""

    events: int = 0
    committed: bool = False


@dataclass
class Controller:
    """The loop; ``assembly.make_controller`` makes one of its parts."""

    ports: Ports
    studies: EngineRegistry
    router: EventRouter
    commands: CommandHandler
    supervisor: Supervisor
    recovery: Recovery
    rounds: Rounds
    effects: Effects
    bell: Bell
    clock: Clock
    progress: ProgressHook
    # Rounds since a study was last read, or could have been.
    _put_off: int = field(default=0, init=False)

    def start(self) -> None:
        """Takes up the studies of the database and what their workers have said since. Call it once, as the writer."""
        self.recovery.take_up_all()
        self.router.connect()
        # A task that was sent while the last words of a dead runner are still unread would overtake its trial.
        with self.effects.holding_sends():
            for entries in self.router.catch_up():
                self.rounds.folded += len(entries)
                self.rounds.finish()
            self.recovery.lose_dead()
            self.recovery.reconcile()
            self.rounds.finish()
        self.rounds.finish()

    def run_once(self, *, wait: bool = True) -> Outcome:
        """Does one round: what the stream holds, or what is due without it. With ``wait`` it lasts until there is
        something, at most until something is due."""
        self.progress()
        events = self._take_in(wait=wait)
        return Outcome(events, self.rounds.finish().seconds is not None)

    @property
    def idle(self) -> bool:
        """Whether every study it looks after has ended and no runner trains for one any more."""
        return not len(self.studies) and not self.studies.awaited

    def close(self) -> None:
        """Ends in order; the database has everything."""
        self.ports.close()
        self.studies.close()

    def _take_in(self, *, wait: bool) -> int:
        """Folds what has come and what is due; returns the number of stream entries."""
        try:
            return self._read_and_tend(wait=wait)
        except Exception as error:
            self.rounds.lose_redis(error)
            self.ports.events.read_pending_again()
            self.clock.sleep(RETRY_SECONDS)
        return 0

    def _read_and_tend(self, *, wait: bool) -> int:
        events = 0
        try:
            events = self._read_all(self._patience() if wait else 0.0)
            self.rounds.folded += events
            if self.studies.awaited and self._may_take_up(events):
                self._take_up_next()
            self._apply_commands()
            self.supervisor.tend()
        except ConsumerGroupMissing:
            log.warning("redis was emptied; rebuilding it from the database", extra={"action": "redis_wiped"})
            self.router.connect()
            self.recovery.reconcile()
            # Of a command that was issued meanwhile, the ring may be gone too.
            self.bell.rung = True
        return events

    def _may_take_up(self, events: int) -> bool:
        """Whether a study is to be read in this round. What came for the studies at hand need not wait for that; a few
        rounds later it has to."""
        needed = any(self.studies.awaited.values()) or self.recovery.wanted
        self._put_off = self._put_off + 1 if events and not needed and self._put_off < MOST_PUT_OFF else 0
        return not self._put_off

    def _take_up_next(self) -> None:
        """Reads one of the studies that are still to be read, as ``start`` does with those before."""
        with self.effects.holding_sends():
            name, entries = self.recovery.take_up_next()
            self.router.fold(entries)
            self.recovery.lose_dead()
            self.recovery.reconcile_study(name)
            self.rounds.finish()
        # A command may wait for it.
        self.bell.rung = True

    def _read_all(self, wait: float) -> int:
        """Folds what the stream holds, as far as that takes no longer than ``ROUND_SECONDS``; returns how many entries.

        In a backlog a commit then covers several events of each attempt, and costs hardly more than for one.
        """
        events = len(self.router.read(wait))
        until = self.clock.monotonic() + ROUND_SECONDS
        while not self.ports.events.drained and events < MOST_EVENTS and self.clock.monotonic() < until:
            more = len(self.router.read(0.0))
            events += more
            if not more:
                break
        return events

    def _apply_commands(self) -> None:
        if self.bell.woken:
            self.bell.woken = False
            self.bell.rung |= self.commands.waits_for_class
        if self.bell.rung or self.commands.has_news:
            self.bell.rung = False
            begun = self.effects.now()
            if self.commands.apply():
                # Of a study that goes on. What a command itself has had sent may be on its way to a slot already.
                self.recovery.resend_missing(lambda sent: sent <= begun)

    def _patience(self) -> float:
        """Returns how long the stream may be waited for, in seconds."""
        if self.studies.awaited or self.bell.rung or self.ports.replicas.has_news:
            return 0.0
        return max(0.0, min(self.supervisor.due_in(self.clock.monotonic()), self.rounds.patience))
