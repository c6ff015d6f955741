"""The control plane's loop: read, fold, commit, act, acknowledge. The order is the whole point."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.common.clock import Clock
from orchestrator.common.errors import ConsumerGroupMissing
from orchestrator.control.batch_log import log_batch
from orchestrator.control.command_handler import CommandHandler
from orchestrator.control.commit import AWAY_SECONDS, Committer, Written
from orchestrator.control.effects import Effects
from orchestrator.control.engine_registry import EngineRegistry
from orchestrator.control.event_router import EventRouter
from orchestrator.control.foreign_changes import ForeignChanges
from orchestrator.control.journal import Journal
from orchestrator.control.liveness import HeartbeatTracker, SlotTracker, dead_here, place
from orchestrator.control.ports import (
    Artifacts,
    Broker,
    Calendar,
    Checkpoints,
    Notifier,
    Phase,
    PhaseHook,
    Progress,
    Pruners,
    Reports,
    Stream,
    StudyRepository,
    no_hook,
    no_progress_hook,
)
from orchestrator.control.progress_publisher import ProgressPublisher
from orchestrator.control.pruner_process import PrunerProcesses
from orchestrator.control.reconciler import Reconciler
from orchestrator.control.rounds import Observer, Round, unobserved
from orchestrator.control.run_cleanup import RunCleanup
from orchestrator.control.scheduled_runs import ScheduledRuns
from orchestrator.control.study_boundary import Unsettled, is_of_the_study
from orchestrator.engine.inputs import SlotsCounted, TimePassed
from orchestrator.engine.outputs import Batch
from orchestrator.messaging.event_stream import Entry
from orchestrator.model.commands import Command
from orchestrator.model.lifecycle import AttemptState
from orchestrator.model.notifications import Owed
from orchestrator.model.suspension import describe
from orchestrator.notify.null_notifier import NullNotifier
from tasks.server_errors import Outages, unavailable
from tasks.signing import UNSIGNED, Keyring

log = logging.getLogger(__name__)


@dataclass
class Outcome:
    """What one round did."""

    events: int = 0
    committed: bool = False


class Controller:
    """Folds the stream into studies.

    Args:
        store: The database, with the right to write.
        events: The stream.
        broker: Where tasks wait for slots.
        checkpoints: Where checkpoints that nobody needs any more are thrown.
        artifacts: Where models and other files are.
        notifier: Who tells people what becomes of their studies.
        lease: Seconds a runner may be silent.
        heartbeat: Seconds between two transactions, at the most.
        calendar, reports: Where schedules and their runs' reports are; without them nothing is run by a schedule.
        pruners: Where pruner classes of the user's own are asked; by default processes of which the loop hears when it
            looks.
        only: Name of the one study to look after; all of them when empty.
        record: Where inputs are recorded, if they are.
        clock: Time.
        passed: Called at each step of a round.
        observer: Told of each round.
        keyring: Verifies what comes.
        outages: Says when a server is not available, and when it is again.
        progress: Called whenever the loop has done something.
    """

    def __init__(
        self,
        store: StudyRepository,
        events: Stream,
        broker: Broker,
        checkpoints: Checkpoints,
        artifacts: Artifacts,
        *,
        lease: float,
        heartbeat: float,
        calendar: Calendar | None = None,
        reports: Reports | None = None,
        pruners: Pruners | None = None,
        only: str = "",
        record: Journal | None = None,
        clock: Clock | None = None,
        passed: PhaseHook = no_hook,
        observer: Observer = unobserved,
        notifier: Notifier | None = None,
        keyring: Keyring = UNSIGNED,
        outages: Outages | None = None,
        progress: Progress = no_progress_hook,
    ) -> None:
        self._store = store
        self._events = events
        self._heartbeat = heartbeat
        self._only = only
        civil = clock or Clock()
        self._clock = clock = civil.steady()
        self._passed = passed
        self._observer = observer
        self._notifier = notifier or NullNotifier()
        self._checkpoints = checkpoints
        self._artifacts = artifacts
        self._outages = outages or Outages(log, monotonic=clock.monotonic)
        self._heartbeats = HeartbeatTracker(lease, heartbeat)
        self._slots = SlotTracker(self._heartbeats)
        self._progress = progress
        pruners = pruners or PrunerProcesses(lambda: None)
        self._studies = EngineRegistry(store, record, clock, pruners, progress)
        self._reports = reports
        scheduling = None
        if calendar is not None and reports is not None and not only:
            cleanup = RunCleanup(calendar, self._studies, checkpoints, artifacts, reports, civil)
            scheduling = ScheduledRuns(
                calendar, store, self._studies, civil, self._settle, self._notifier.check, cleanup, pruners
            )
        self._commands = CommandHandler(
            store,
            self._studies,
            only,
            clock,
            settle=self._settle,
            take_up=self._take_up,
            check_notify=self._notifier.check,
            pruners=pruners,
            scheduling=scheduling,
        )
        self._effects = Effects(events, broker, checkpoints, artifacts, self._studies, passed, self._looked)
        self._reconciler = Reconciler(self._studies, self._effects, broker)
        self._router = EventRouter(
            events, self._studies, self._heartbeats, self._slots, self._effects, only, clock, keyring
        )
        self._committer = Committer(store, self._notifier, self._outages.database, clock, heartbeat, progress)
        self._publisher = ProgressPublisher(events, self._studies)
        self._foreign = ForeignChanges(store, events, self._studies, self._effects, self._heartbeats)
        self._answered: dict[Command, str] = {}
        self._folded = 0
        self._probe_at = 0.0
        self._tidy_at = 0.0

    def start(self) -> None:
        """Takes up the studies of the database and what their workers have said since. Call it once, as the writer."""
        suspended = self._store.suspended()
        for name, suspension in suspended.items():
            if not self._only or name == self._only:
                self._studies.leave_suspended(name, suspension)
        for name in self._store.unsettled():
            known = suspended.get(name)
            if (not self._only or name == self._only) and (known is None or known.passing):
                with self._studies.guarded(name):
                    self._studies.take_up(name)
        for owed in self._store.owed():
            if not self._only or owed.study == self._only:
                with self._studies.guarded(owed.study):
                    self._notifier.owe([owed])
        self._connect()
        # A task that was sent while the last words of a dead runner are still unread would overtake its trial.
        with self._effects.holding_sends():
            self._catch_up()
            for row in self._studies.live(AttemptState.RUNNING, AttemptState.STOPPING):
                if dead_here(row):
                    self._studies.lose(row, "its process is gone")
            self._reconciler.reconcile()
            self._finish_round(self._clock.wall())
        self._finish_round(self._clock.wall())

    def run_once(self, *, wait: bool = True) -> Outcome:
        """Does one round: what the stream holds, or what is due without it. With ``wait`` it lasts until there is
        something, at most until something is due."""
        self._progress()
        now = self._clock.monotonic()
        outcome = Outcome(events=self._take_in(now, wait=wait))
        outcome.committed = self._finish_round(self._clock.wall()).seconds is not None
        return outcome

    @property
    def idle(self) -> bool:
        """Whether every study it looks after has ended and nobody trains for one any more."""
        return not len(self._studies)

    def close(self) -> None:
        """Ends in order; the database has everything."""
        self._notifier.close()
        self._checkpoints.close()
        self._artifacts.close()
        if self._reports is not None:
            self._reports.close()
        self._studies.close()

    # -- read and fold --------------------------------------------------------------------------------------------

    def _take_in(self, now: float, *, wait: bool) -> int:
        """Folds what has come and what is due; returns the number of stream entries."""
        try:
            return self._read_and_tend(now, wait=wait)
        except Exception as error:
            self._lose_redis(error)
            self._events.read_pending_again()
            self._clock.sleep(AWAY_SECONDS)
        return 0

    def _read_and_tend(self, now: float, *, wait: bool) -> int:
        events = 0
        try:
            events = len(self._read_some(self._patience(now) if wait else 0.0))
            if self._router.woken:
                self._router.woken = False
                self._router.rung |= self._commands.waits_for_pruner
            if self._router.rung or self._commands.has_news:
                self._router.rung = False
                begun = self._looked()
                if answers := self._commands.apply():
                    self._answered |= answers
                    # Of a study that goes on. What a command itself has had sent may be on its way to a slot already.
                    self._reconciler.resend_missing(lambda sent: sent <= begun)
            self._tend(self._clock.monotonic())
        except ConsumerGroupMissing:
            log.warning("redis was emptied; rebuilding it from the database", extra={"action": "redis_wiped"})
            self._connect()
            self._reconciler.reconcile()
        return events

    def _catch_up(self) -> None:
        """Folds what the stream holds by now; what live runners go on to say is left to the rounds that follow."""
        end = self._events.end()
        while entries := self._read_some(0.001):
            self._finish_round(self._clock.wall())
            if end is None or place(entries[-1][0]) >= place(end):
                return

    def _read_some(self, wait: float) -> list[Entry]:
        self._heartbeats.begin_read(self._clock.monotonic())
        entries = self._events.read(wait)
        drained = self._events.drained
        if entries:
            self._passed(Phase.READ)
        for entry in entries:
            self._effects.acknowledge[entry[0]] = self._router.take(entry)
        self._studies.take_answers()
        self._folded += len(entries)
        if entries:
            self._passed(Phase.DECIDED)
        if drained:
            self._heartbeats.read_everything()
        elif entries:
            self._heartbeats.read_up_to(entries[-1][0])
        return entries

    # -- commit, then act -----------------------------------------------------------------------------------------

    def _finish_round(self, at: float) -> Written:
        """Commits what the engines staged, then does what they asked for. Returns what has become of it."""
        batches = self._studies.take()
        answers = dict(self._answered)
        self._answered.clear()
        written = self._committer.commit(batches, answers)
        for name, error in written.refused.items():
            del batches[name]
            self._foreign.give_up(name, error)
        self._effects.withdraw_confirmations(self._studies.suspended)
        for name, batch in batches.items():
            with self._studies.guarded(name):
                self._effects.add(name, batch)
                if batch.changes.notes:
                    notify = self._studies[name].spec.notify
                    self._notifier.owe([Owed(name, note, notify) for note in batch.changes.notes])
        if written.seconds is not None:
            self._passed(Phase.COMMITTED)
        self._studies.write_suspensions()
        self._effects.confirmations |= self._router.strangers()
        self._effects.answer_commands((command.key, text) for command, text in written.answers.items())
        try:
            self._effects.do()
            self._publisher.tell(batches, at)
            if self._outages.redis.lasts:
                # A server that still answers may take nothing.
                self._events.probe()
                self._outages.redis.end()
        except Exception as error:
            self._lose_redis(error)
        for name, batch in batches.items():
            with self._studies.guarded(name):
                log_batch(name, batch)
        for engine in self._studies.close_ended():
            with self._studies.guarded(engine.name):
                self._heartbeats.forget(row.token for row in engine.attempts)
                self._checkpoints.throw_study(engine.uid)
                self._artifacts.sweep(engine.sweep())
                # Another run may wait for this one to end.
                self._router.rung |= engine.spec.run is not None
        self._router.rung |= bool(written.refused)
        self._observe(written, batches)
        self._folded = 0
        return written

    def _observe(self, written: Written, batches: Mapping[str, Batch]) -> None:
        try:
            self._observer(
                Round(
                    self._folded,
                    written.seconds,
                    batches,
                    written.settled,
                    self._studies.standing,
                    self._slots.busy_and_idle,
                    len(self._studies.suspended),
                )
            )
        except Exception as error:
            if not is_of_the_study(error):
                raise
            log.error("a round cannot be measured: %s", describe(error), extra={"action": "unmeasured"})

    def _settle(self) -> None:
        """Commits what the engines have staged.

        Raises:
            Unsettled: not all of it is written.
        """
        refused = self._finish_round(self._clock.wall()).refused
        if refused:
            raise Unsettled(next(iter(refused)))

    # -- what is due without an event -----------------------------------------------------------------------------

    def _patience(self, now: float) -> float:
        """Returns how long the stream may be waited for, in seconds."""
        if self._router.rung:
            return 0.0
        return max(0.0, min(self._heartbeat / 2, self._tidy_at - now, self._publisher.patience))

    def _tend(self, now: float) -> None:
        running = self._studies.live(AttemptState.RUNNING, AttemptState.STOPPING)
        if self._heartbeats.doubtful(running, now):
            if now >= self._probe_at:
                # A runner that cannot be heard is not dead: a server that is full still answers, and takes nothing.
                self._probe_at = now + self._heartbeat
                self._events.probe()
            if not self._events.drained and self._heartbeats.wants_end and (end := self._events.end()) is not None:
                # There is more to read than is read at once. What a runner has said until now is in front of this.
                self._heartbeats.note_end(end, now)
        for row in self._heartbeats.silent(running):
            self._studies.lose(row, f"no sign of life from {row.slot}")
        self._count_slots()
        self._end_in_time()
        if now >= self._tidy_at:
            self._tidy_at = now + self._heartbeats.lease
            self._foreign.look()
            self._router.rung = True
            self._events.read_pending_again()
            if self._heartbeats.trusted():
                self._reconciler.resend_missing(lambda sent: self._heartbeats.silence(sent) > self._heartbeats.lease)

    def _looked(self) -> float:
        return self._heartbeats.at(self._clock.monotonic())

    def _count_slots(self) -> None:
        """Tells the studies that promote trials how many slots there are."""
        self._slots.forget_silent()
        for engine in self._studies:
            with self._studies.guarded(engine.name):
                if engine.trials.promotes and (slots := self._slots.count(engine.spec.queue)) != engine.slots:
                    self._studies.apply(engine, SlotsCounted(slots))

    def _end_in_time(self) -> None:
        """Tells the studies with a timeout that it is over."""
        wall = self._clock.wall()
        for engine in self._studies:
            with self._studies.guarded(engine.name):
                if engine.deadline is not None and wall >= engine.deadline:
                    self._studies.apply(engine, TimePassed())

    def _lose_redis(self, error: Exception) -> None:
        """Notes that Redis is not available: silence proves nothing for a while. Raises any other error again."""
        found = unavailable(error)
        if found is None or found.server != "redis":
            raise error
        self._heartbeats.fell_behind()
        self._outages.redis.begin(found)

    def _connect(self) -> None:
        self._heartbeats.fell_behind()
        self._events.prepare()

    def _take_up(self, name: str) -> None:
        """Reads a study again, whatever is in memory: what others have written to the database is found, too."""
        self._studies.take_up(name)
        now = self._clock.monotonic()
        for row in self._studies[name].attempts.in_state(AttemptState.RUNNING, AttemptState.STOPPING):
            # While it was suspended its runners were not listened to: a lease from now.
            self._heartbeats.hear(row.token, now)
        self._reconciler.reconcile()
