"""The control plane's loop: read, fold, commit, act, acknowledge. The order is the whole point."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import exc

from orchestrator import dispatch, stream
from orchestrator.actions import Actions
from orchestrator.artifacts import ArtifactBin
from orchestrator.checkpoints import CheckpointBin
from orchestrator.dispatch import Dispatcher
from orchestrator.engine import Batch, StudyEngine
from orchestrator.errors import BadInput
from orchestrator.journal import Journal
from orchestrator.lifecycle import AttemptState
from orchestrator.notices import OtherSource
from orchestrator.recovery import Slots, Watch, dead_here
from orchestrator.steering import Steering
from orchestrator.storage import Store
from orchestrator.storage.rows import ForeignWrite
from orchestrator.storage.store import Command
from orchestrator.stream import BATCH, Entry, EventStream, Wiped
from orchestrator.studies import Studies
from tasks import keys
from tasks.codec import Malformed, decode_event, salvage
from tasks.contract import Alive, Confirmation, Event, Verdict

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 0.1
AWAY_SECONDS = 0.2
DATABASE_AWAY = (exc.OperationalError, exc.InterfaceError, exc.DBAPIError)
REDIS_AWAY = (*stream.AWAY, *dispatch.AWAY)


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
        dispatcher: Celery.
        bin: Where checkpoints that nobody needs any more are thrown.
        artifacts: Where models and other files are.
        lease: Seconds a runner may be silent.
        heartbeat: Seconds between two renewals of the writer's lease, at the most.
        only: Name of the one study to look after; all of them when empty.
        record: Where inputs are recorded, if they are.
        clock, monotonic: Wall clock and interval clock, in seconds.
    """

    def __init__(
        self,
        store: Store,
        events: EventStream,
        dispatcher: Dispatcher,
        bin: CheckpointBin,
        artifacts: ArtifactBin,
        *,
        lease: float,
        heartbeat: float,
        only: str = "",
        record: Journal | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._events = events
        self._dispatcher = dispatcher
        self._heartbeat = heartbeat
        self._only = only
        self._clock = clock
        self._monotonic = monotonic
        self._bin = bin
        self._artifacts = artifacts
        self._watch = Watch(lease)
        self._slots = Slots(lease)
        self._studies = Studies(store, record, clock)
        self._steering = Steering(store, self._studies, only, clock, lambda: self._finish_round(clock()))
        self._actions = Actions(events, dispatcher, bin, artifacts)
        self._strangers: dict[str, Confirmation] = {}
        self._progress_owed: set[str] = set()
        self._progress_told: dict[str, float] = {}
        self._answered: dict[Command, str] = {}
        self._renew_at = 0.0
        self._tidy_at = 0.0
        self._commands_waiting = True
        self._round_at = monotonic()

    def start(self) -> None:
        """Takes up the studies of the database and what their workers have said since. Call it once, as the writer."""
        for name in self._store.studies(("running", "paused", "ending")):
            if not self._only or name == self._only:
                try:
                    self._studies.load(name)
                except BadInput as error:
                    # Its own rules cannot be had on this host; that is no reason to leave the others alone.
                    log.error("study %s is not taken up: %s", name, error, extra={"action": "study_refused"})
        self._connect()
        while self._read_some(0.001):
            self._finish_round(self._clock())
        for row in self._studies.live(AttemptState.RUNNING, AttemptState.STOPPING):
            if dead_here(row):
                self._studies.lose(row, "its process is gone")
        self._reconcile()
        self._finish_round(self._clock())

    def run_once(self, *, wait: bool = True) -> Outcome:
        """Does one round: what the stream holds, or what is due without it. With ``wait`` it lasts until there is
        something, at most until something is due."""
        now = self._monotonic()
        if now - self._round_at > self._heartbeat:
            self._watch.fell_behind()
        self._round_at = now
        outcome = Outcome()
        try:
            outcome.events = self._take_in(now, wait=wait)
            outcome.committed = self._finish_round(self._clock())
        except ForeignWrite as error:
            log.warning("%s; reading the studies again", error, extra={"action": "foreign_write"})
            self._reload()
        return outcome

    @property
    def idle(self) -> bool:
        """Whether every study it looks after has ended and nobody trains for one any more."""
        return not len(self._studies)

    def close(self) -> None:
        """Ends in order; the database has everything."""
        self._bin.close()
        self._artifacts.close()
        self._studies.close()

    # -- read and fold --------------------------------------------------------------------------------------------

    def _take_in(self, now: float, *, wait: bool) -> int:
        """Folds what has come and what is due; returns the number of stream entries."""
        events = 0
        try:
            events = self._read_some(self._patience(now) if wait else 0.0)
            if self._commands_waiting:
                self._commands_waiting = False
                begun = self._clock()
                if answers := self._steering.apply():
                    self._answered |= answers
                    # Of a study that goes on. What a command itself has had sent may be on its way to a slot already.
                    self._resend_missing(begun)
            self._tend(self._monotonic())
        except Wiped:
            log.warning("redis was emptied; rebuilding it from the database", extra={"action": "redis_wiped"})
            self._connect()
            self._reconcile()
        except REDIS_AWAY as error:
            log.warning("redis is away: %s", error, extra={"action": "redis_away"})
            self._watch.fell_behind()
            self._events.read_pending_again()
            time.sleep(AWAY_SECONDS)
        return events

    def _read_some(self, wait: float) -> int:
        entries = self._events.read(wait)
        for entry in entries:
            self._take(entry)
            self._actions.acknowledge.append(entry[0])
        if len(entries) < BATCH:
            self._watch.caught_up(self._monotonic())
        return len(entries)

    def _take(self, entry: Entry) -> None:
        data = entry[1].get(keys.EVENT_FIELD)
        if data is None:
            if entry[1].get(b"ring") == keys.DOORBELL.encode():
                self._commands_waiting = True
            elif entry[1]:
                self._bury(repr(entry[1]).encode(), "an entry without an event")
            return
        try:
            event = decode_event(data)
        except Malformed as error:
            self._bury(data, str(error))
            if (salvaged := salvage(data, str(error))) is None:
                return
            event = salvaged
        if isinstance(event.body, Alive):
            self._slots.hear(event.body, self._monotonic())
            if not event.token:
                return
        engine = self._studies.of(event.token)
        if engine is None:
            self._meet_stranger(event)
        else:
            self._hear(engine, event)

    def _hear(self, engine: StudyEngine, event: Event) -> None:
        row = engine.attempts[event.token]
        if isinstance(event.body, Alive):
            if row.verdict or event.runner != row.runner:
                self._actions.confirmations[event.token] = engine.attempts.confirmation(event.token)
        else:
            try:
                self._studies.feed(engine, "apply", event=event)
            except (ValueError, KeyError, TypeError, ArithmeticError) as error:
                # A broken event harms its own study at most; it is kept, and the others go on.
                log.exception("an event of study %s could not be folded", engine.name, extra={"action": "poison"})
                self._bury(repr(event).encode(), f"{type(error).__name__}: {error}")
        # After the fold: a runner's first event is what binds it.
        if event.runner and event.runner == row.runner:
            self._watch.hear(event.token, self._monotonic())

    def _meet_stranger(self, event: Event) -> None:
        """An attempt that is not of any study at hand: its study has ended, was deleted, or is not ours to touch."""
        if self._only or not event.token:
            return
        self._strangers[event.token] = Confirmation(
            runner=event.runner, seq=event.seq, verdict=Verdict(cause="the study has ended")
        )

    def _bury(self, data: bytes, reason: str) -> None:
        log.warning("not an event, kept aside: %s", reason, extra={"action": "dead_letter"})
        self._events.dead_letter(data, reason)

    def _reload(self) -> None:
        """Throws away what is in memory; what was read and not committed is read again."""
        self._commands_waiting = True
        self._actions.acknowledge.clear()
        self._events.read_pending_again()
        self._studies.reload()

    # -- commit, then act -----------------------------------------------------------------------------------------

    def _finish_round(self, at: float) -> bool:
        """Commits what the engines staged, then does what they asked for. Returns whether there was anything."""
        batches = self._studies.take()
        answers = dict(self._answered)
        self._answered.clear()
        committed = self._commit(batches, {command.id: text for command, text in answers.items()})
        for batch in batches.values():
            self._actions.add(batch)
        self._actions.confirmations |= self._strangers
        self._strangers = {}
        self._actions.answer_commands((command.key, text) for command, text in answers.items())
        try:
            self._actions.do()
            self._tell(batches, at)
        except REDIS_AWAY as error:
            log.warning("redis is away: %s", error, extra={"action": "redis_away"})
            self._watch.fell_behind()
        for engine in self._studies.close_ended():
            self._watch.forget(row.token for row in engine.attempts)
            self._bin.throw_study(engine.uid)
            self._artifacts.sweep(engine.sweep())
        return committed

    def _commit(self, batches: dict[str, Batch], answers: dict[int, str]) -> bool:
        changes = {name: batch.changes for name, batch in batches.items()}
        now = self._monotonic()
        if not any(changes.values()) and not answers and now < self._renew_at:
            return False
        while True:
            try:
                self._store.commit(changes, answers)
                break
            except ForeignWrite:
                raise
            except DATABASE_AWAY as error:
                if not _is_connection_trouble(error):
                    raise
                log.warning("the database is away: %s", _first_line(error), extra={"action": "database_away"})
                self._watch.fell_behind()
                time.sleep(AWAY_SECONDS)
        self._renew_at = self._monotonic() + self._heartbeat
        return True

    def _tell(self, batches: dict[str, Batch], at: float) -> None:
        for name, batch in batches.items():
            for notice in batch.notices:
                if isinstance(notice, OtherSource):
                    log.warning("study %s: %s", name, notice.text(), extra={"action": "other_source"})
            if batch.changes:
                self._progress_owed.add(name)
            due = at - self._progress_told.get(name, 0.0) >= PROGRESS_SECONDS
            if batch.notices or batch.changes.study_state or (due and name in self._progress_owed):
                self._events.notify(name, [*batch.notices, self._studies[name].progress()])
                self._progress_told[name] = at
                self._progress_owed.discard(name)

    # -- what is due without an event -----------------------------------------------------------------------------

    def _patience(self, now: float) -> float:
        """Returns how long the stream may be waited for, in seconds."""
        owed = PROGRESS_SECONDS if self._progress_owed else math.inf
        return max(0.0, min(self._heartbeat / 2, self._tidy_at - now, owed))

    def _tend(self, now: float) -> None:
        for row in self._watch.silent(self._studies.live(AttemptState.RUNNING, AttemptState.STOPPING), now):
            cause = f"no sign of life from {row.slot}"
            log.warning("trial %d: %s", row.trial, cause, extra={"action": "attempt_lost"})
            self._studies.lose(row, cause)
        self._count_slots(now)
        if now >= self._tidy_at:
            self._tidy_at = now + self._watch.lease
            self._commands_waiting = True
            self._events.read_pending_again()
            if self._watch.trusted(now):
                self._resend_missing(self._clock() - self._watch.lease)

    def _count_slots(self, now: float) -> None:
        """Tells the studies that promote trials how many slots there are."""
        if self._watch.trusted(now):
            self._slots.forget_silent(now)
        for engine in self._studies:
            if engine.trials.promotes and (slots := self._slots.count(engine.spec.queue)) != engine.slots:
                self._studies.feed(engine, "count_slots", slots=slots)

    def _connect(self) -> None:
        self._watch.fell_behind()
        self._events.prepare()

    def _reconcile(self) -> None:
        """Makes Redis say what the database says."""
        for engine in self._studies:
            for row in engine.attempts.in_state(*AttemptState):
                self._actions.confirmations[row.token] = engine.attempts.confirmation(row.token)
        self._resend_missing(self._clock())

    def _resend_missing(self, before: float) -> None:
        """Sends again what was sent ``before``, never started, and waits in no queue."""
        sent = [row for row in self._studies.live(AttemptState.SENT) if row.sent is None or row.sent <= before]
        on_its_way = self._actions.on_its_way()
        if not sent:
            return
        queues = {engine.spec.queue for engine in self._studies}
        waiting = self._dispatcher.waiting(queues)
        for row in sorted(sent, key=lambda row: (row.number == 1, row.trial)):
            engine = self._studies.of(row.token)
            if engine is not None and row.token not in waiting and row.token not in on_its_way:
                self._studies.feed(engine, "resend", token=row.token)


def _is_connection_trouble(error: exc.DBAPIError) -> bool:
    return error.connection_invalidated or isinstance(error, exc.OperationalError | exc.InterfaceError)


def _first_line(error: exc.DBAPIError) -> str:
    return str(error.orig or error).strip().splitlines()[0]
