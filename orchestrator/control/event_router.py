"""The reading of the stream: each entry goes to the study that it is about."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from orchestrator.common.clock import Clock
from orchestrator.control.batch_log import of_trial
from orchestrator.control.effects import Effects
from orchestrator.control.engine_registry import EngineRegistry
from orchestrator.control.liveness import HeartbeatTracker, SlotTracker, place
from orchestrator.control.ports import Bell, Phase, PhaseHook, Stream
from orchestrator.control.study_boundary import is_of_the_study
from orchestrator.engine.inputs import EventReceived, SilenceChanged, TaskMissing
from orchestrator.engine.study import StudyEngine
from orchestrator.messaging.event_stream import Entry
from orchestrator.model.changeset import AttemptRow
from orchestrator.model.lifecycle import AttemptState
from orchestrator.model.silence import Paces
from orchestrator.model.suspension import describe
from tasks import redis_keys
from tasks.codec import Malformed, decode_event, salvage
from tasks.contract import CodeWanted, Confirmation, Event, Heartbeat, Lost, ReadStudy, Suggest, Verdict
from tasks.signing import Keyring, Purpose, Unsigned

log = logging.getLogger(__name__)

LONGEST = 65_536
"""The most characters that are kept of an entry of the stream that could not be read."""


@dataclass(eq=False)
class EventRouter:
    """Reads the stream, gives every event to its study, and keeps aside what is none."""

    events: Stream
    studies: EngineRegistry
    heartbeats: HeartbeatTracker
    slots: SlotTracker
    effects: Effects
    bell: Bell
    only: str
    clock: Clock
    keyring: Keyring
    phase: PhaseHook
    _paces: dict[str, Paces] = field(default_factory=dict, init=False)

    def connect(self) -> None:
        """Makes the stream's group where it is missing; what was heard before means nothing."""
        self.heartbeats.fell_behind()
        self.events.prepare()

    def read(self, wait: float) -> list[Entry]:
        """Folds the next entries, waiting at most ``wait`` seconds for the first; returns them."""
        self.heartbeats.begin_read(self.clock.monotonic())
        entries = self.events.read(wait)
        drained = self.events.drained
        if entries:
            self.phase(Phase.READ)
        self.fold(entries)
        if entries:
            self.phase(Phase.DECIDED)
        if drained:
            self.heartbeats.read_everything()
        elif entries:
            self.heartbeats.read_up_to(entries[-1][0])
        return entries

    def fold(self, entries: Iterable[Entry]) -> None:
        """Folds entries; those of a study that is still to be read are kept for it, and not acknowledged."""
        for entry in entries:
            if (study := self._take(entry)) is not None:
                self.effects.acknowledge[entry[0]] = study
        self.studies.take_answers()
        self.effects.acknowledge |= self.studies.take_put_in()

    def catch_up(self) -> Iterator[list[Entry]]:
        """Folds what the stream holds by now, and yields after each read; what live runners go on to say is left."""
        end = self.events.end()
        while entries := self.read(0.001):
            yield entries
            if end is None or place(entries[-1][0]) >= place(end):
                return

    def _take(self, entry: Entry) -> str | None:
        """Folds one entry; returns the name of the study that it is about, empty where it is about none, ``None`` where
        it waits for its study to be read, or for its study's pruner."""
        try:
            return self._route(entry)
        except Exception as error:
            if not is_of_the_study(error):
                raise
            # Before it was known whose it is: it must not come back for ever.
            self._bury(repr(entry[1])[:LONGEST].encode("utf-8", "backslashreplace"), describe(error))
            return ""

    def _route(self, entry: Entry) -> str | None:
        sealed = entry[1].get(redis_keys.EVENT_FIELD)
        if sealed is None:
            if entry[1].get(b"ring") == redis_keys.DOORBELL.encode():
                self.bell.rung = True
            elif entry[1].get(b"ring") == redis_keys.WAKE.encode():
                self.bell.woken = True
            elif entry[1]:
                self._bury(repr(entry[1]).encode(), "an entry without an event")
            return ""
        try:
            data = self.keyring.open(Purpose.EVENT, sealed)
        except Unsigned as error:
            # Any client may have made it: it must not even take the place of an event that could not be read.
            self._bury(sealed, f"an event that is {error}")
            return ""
        try:
            event = decode_event(data)
        except Malformed as error:
            self._bury(data, str(error))
            if (salvaged := salvage(data, str(error))) is None:
                return ""
            event = salvaged
        if isinstance(event.body, Heartbeat):
            self.slots.hear(event.body, self.clock.monotonic())
            if not event.token:
                return ""
        engine = self.studies.of(event.token)
        if engine is not None:
            put_in = True
            with self.studies.guarded(engine.name):
                put_in = self._hear(engine, event, data, entry[0])
            return engine.name if put_in else None
        if (waiting := self.studies.awaited.get(self.studies.name_of(event.token))) is not None:
            # It may be delivered again meanwhile.
            waiting[entry[0]] = entry
            return None
        if self.studies.is_suspended(event.token):
            self._pass_over(event)
        else:
            self._meet_stranger(event)
        return self.studies.name_of(event.token)

    def _hear(self, engine: StudyEngine, event: Event, data: bytes, entry: bytes) -> bool:
        """Returns whether the entry of the event may be acknowledged."""
        put_in = True
        row = engine.attempts[event.token]
        if isinstance(event.body, Heartbeat):
            if row.verdict or event.runner != row.runner:
                self.effects.confirmations[event.token] = engine.attempts.confirmation(event.token)
            elif row.state == AttemptState.RUNNING:
                self._note_silence(engine, row, event.body)
        elif isinstance(event.body, Lost):
            self._lose(engine, row, event.runner, event.body)
            return True
        else:
            try:
                put_in = self.studies.apply(engine, EventReceived(event), entry)
            except Exception as error:
                if is_of_the_study(error):
                    extra = of_trial("poison", engine.name, row.trial, row)
                    log.warning("an event of study %s could not be folded", engine.name, extra=extra)
                    self.events.dead_letter(data, describe(error))
                raise
            if isinstance(event.body, CodeWanted) and event.runner == row.runner:
                self.effects.code_wanted.add((engine.name, event.body.digest))
        # After the fold: a runner's first event is what binds it, at once or when the study's own pruner has answered.
        if event.runner and row.runner in (None, "", event.runner):
            self.heartbeats.hear(event.token, self.clock.monotonic())
        return put_in

    def _note_silence(self, engine: StudyEngine, row: AttemptRow, body: Heartbeat) -> None:
        paces = self._paces.setdefault(engine.uid, Paces())
        found = paces.judge(row.trial, body.quiet, body.pace, self.clock.wall())
        if (found is None) != (engine.silence(row.trial) is None):
            self.studies.apply(engine, SilenceChanged(row.token, found))

    def _lose(self, engine: StudyEngine, row: AttemptRow, runner: str, body: Lost) -> None:
        """A worker says that a keeper of its own has ended; what that one had to say itself was read before."""
        if runner and runner == row.runner and row.state in (AttemptState.RUNNING, AttemptState.STOPPING):
            self.studies.lose(row, f"its worker process on {row.host} ended: {body.how:.200}")
        elif not row.runner:
            # Nothing of it was run: the same task is sent again.
            self.studies.apply(engine, TaskMissing(row.token))

    def _pass_over(self, event: Event) -> None:
        """An event of a suspended study is not confirmed: its keeper has it, and sends it again now and then. A trial
        that waits for an answer would keep its slot from the other studies: it leaves, and is attempted again."""
        body = event.body
        if isinstance(body, ReadStudy) or (isinstance(body, Suggest) and not body.used):
            verdict = Verdict(cause="the study is suspended")
            self.effects.strangers[event.token] = Confirmation(runner=event.runner, seq=0, verdict=verdict)

    def _meet_stranger(self, event: Event) -> None:
        """An attempt that is not of any study at hand: its study has ended, was deleted, or is not ours to touch."""
        if self.only or not event.token:
            return
        self.effects.strangers[event.token] = Confirmation(
            runner=event.runner, seq=event.seq, verdict=Verdict(cause="the study has ended")
        )

    def _bury(self, data: bytes, reason: str) -> None:
        log.warning("not an event, kept aside: %s", reason, extra={"action": "dead_letter"})
        self.events.dead_letter(data, reason)
