"""The studies at hand: their engines, the study of each attempt, and the recording of every input.

What is done for one study is done inside ``EngineRegistry.guarded``: an error there suspends that study, and nothing
else.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import msgspec

from orchestrator.common.clock import Clock
from orchestrator.common.errors import BadInput
from orchestrator.control.batch_log import of_trial
from orchestrator.control.journal import Journal
from orchestrator.control.journal_record import Opened, Record
from orchestrator.control.liveness import SlotTracker
from orchestrator.control.ports import ProgressHook, StudyRepository, no_hook
from orchestrator.control.process_ports import Replicas
from orchestrator.control.replica_processes import NotAnswered
from orchestrator.control.sampling_pace import SamplingPaces
from orchestrator.control.study_boundary import is_of_the_study
from orchestrator.engine.inputs import (
    AttemptLost,
    EventReceived,
    Input,
    LookaheadChanged,
    SamplerAnswered,
)
from orchestrator.engine.outputs import Batch, Send
from orchestrator.engine.state import Snapshot
from orchestrator.engine.study import StudyEngine
from orchestrator.messaging.event_stream import Entry
from orchestrator.model import progress_events
from orchestrator.model.changeset import AttemptRow
from orchestrator.model.lifecycle import AttemptState
from orchestrator.model.study_states import ENDED
from orchestrator.model.suspension import Suspension, describe, refusal, remedy
from orchestrator.sampling.questions import Answer, role_of

log = logging.getLogger(__name__)

MOST_HELD = 10_000
"""Events that are kept of a study that waits for its own pruner."""


class Guard:
    """The boundary of one study's errors; every event passes one, which a generator would make twice as slow."""

    __slots__ = ("_name", "_studies")

    def __init__(self, studies: EngineRegistry, name: str) -> None:
        self._studies = studies
        self._name = name

    def __enter__(self) -> None:
        """Does nothing."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if not isinstance(error, Exception) or not is_of_the_study(error):
            return False
        self._studies.meet(self._name, error)
        return True


@dataclass(eq=False)
class EngineRegistry:
    """Holds the engines, and records what they are fed if that is wanted.

    Attributes:
        suspended: The studies for which nothing is done until they are taken up again, by name.
        awaited: The studies that are still to be read, by name, each with the entries of the stream that wait for it.
        paces: How fast they ask and are answered.
    """

    store: StudyRepository
    record: Journal | None
    clock: Clock
    replicas: Replicas
    slots: SlotTracker
    progress: ProgressHook = no_hook
    # By study: events that came while its pruner was asked, by their entries in the stream. They are put in behind the
    # answer, and acknowledged then: after a crash they come again, in the same order.
    _held: dict[str, dict[bytes, EventReceived]] = field(default_factory=dict, init=False)
    _put_in: dict[bytes, str] = field(default_factory=dict, init=False)
    _engines: dict[str, StudyEngine] = field(default_factory=dict, init=False)
    _study_of: dict[str, str] = field(default_factory=dict, init=False)
    # Studies at hand that have taken an input since their batches were taken.
    _stirred: set[str] = field(default_factory=set, init=False)
    suspended: dict[str, Suspension] = field(default_factory=dict, init=False)
    awaited: dict[str, dict[bytes, Entry]] = field(default_factory=dict, init=False)
    paces: SamplingPaces = field(default_factory=SamplingPaces, init=False)
    # Suspended studies whose cause is not in the database yet.
    _unwritten: set[str] = field(default_factory=set, init=False)
    # Suspended studies whose attempts could not be read.
    _unknown: set[str] = field(default_factory=set, init=False)
    _last_words: list[progress_events.Progress] = field(default_factory=list, init=False)

    def __contains__(self, name: str) -> bool:
        return name in self._engines

    def __getitem__(self, name: str) -> StudyEngine:
        return self._engines[name]

    def __iter__(self) -> Iterator[StudyEngine]:
        # A study may be suspended on the way.
        return iter(list(self._engines.values()))

    def __len__(self) -> int:
        return len(self._engines)

    def of(self, token: str) -> StudyEngine | None:
        """Returns the study that an attempt belongs to, if it is at hand."""
        return self._engines.get(self._study_of.get(token, ""))

    def name_of(self, token: str) -> str:
        """Returns the name of the study that an attempt belongs to, suspended or not; empty where that is not known."""
        return self._study_of.get(token, "")

    def is_suspended(self, token: str) -> bool:
        """Whether an attempt belongs to a suspended study, or may do so."""
        name = self._study_of.get(token)
        return bool(self._unknown or self.awaited) if name is None else name in self.suspended

    def await_study(self, name: str, tokens: Iterable[str]) -> None:
        """Leaves a study to be read later; ``tokens`` are its live attempts."""
        self.awaited[name] = {}
        self._study_of |= dict.fromkeys(tokens, name)

    def guarded(self, name: str) -> Guard:
        """Inside, something is done for one study: an error that is of that study alone suspends it."""
        return Guard(self, name)

    def meet(self, name: str, error: Exception) -> None:
        """Suspends a study for an error that is of that study alone."""
        if name in self.suspended and name not in self._engines:
            log.debug("study %s, which is suspended", name, exc_info=error)
        else:
            self.suspend(name, error)

    def suspend(self, name: str, error: Exception) -> None:
        """Does nothing more for a study until it is taken up again: what is in memory of it is thrown away, what its
        keepers report stays with them."""
        passing = isinstance(error, BadInput)
        suspension = Suspension(describe(error), self.clock.wall(), passing)
        extra = {"action": "study_refused" if passing else "study_suspended", "study": name}
        log.error("study %s is suspended: %s; %s", name, suspension.cause, remedy(name), extra=extra)
        log.debug("study %s", name, exc_info=error, extra={"action": "suspended_by", "study": name})
        self._unwritten.add(name)
        self._set_aside(name, suspension)

    def leave_suspended(self, name: str, suspension: Suspension) -> None:
        """Leaves a study alone that was suspended before this control plane began."""
        self._set_aside(name, suspension)
        if not suspension.passing:
            extra = {"action": "study_still_suspended", "study": name}
            log.warning("study %s stays suspended: %s; %s", name, suspension.cause, remedy(name), extra=extra)

    def _set_aside(self, name: str, suspension: Suspension) -> None:
        self.suspended[name] = suspension
        engine = self._drop(name)
        try:
            if engine is None:
                self._study_of |= dict.fromkeys(self.store.tokens(name), name)
            else:
                reason = f"{suspension.cause}; {remedy(name)}"
                self._last_words.append(msgspec.structs.replace(engine.progress(), state="suspended", reason=reason))
        except Exception as error:
            if engine is None:
                log.warning("the attempts of study %s cannot be read: %s", name, describe(error))
                self._unknown.add(name)

    def write_suspensions(self) -> None:
        """Writes the causes that are not in the database yet. One that cannot be written is known here alone."""
        for name in sorted(self._unwritten):
            try:
                self.store.suspend(name, self.suspended[name])
            except Exception as error:
                if not is_of_the_study(error):
                    raise
                log.error("why study %s is suspended cannot be written: %s", name, describe(error))
            self._unwritten.discard(name)

    def take_last_words(self) -> list[progress_events.Progress]:
        """Returns where the studies stood that were suspended since the last call."""
        words, self._last_words = self._last_words, []
        return words

    def check_at_hand(self, name: str) -> None:
        """Raises BadInput where the study is suspended."""
        if name in self.suspended:
            raise refusal(name, self.suspended[name].cause)

    def forget(self, name: str) -> StudyEngine | None:
        """Lets go of a study, suspended or not; returns its engine."""
        self.suspended.pop(name, None)
        self._unwritten.discard(name)
        self._unknown.discard(name)
        engine = self._drop(name)
        if engine is None:
            self._study_of = {token: study for token, study in self._study_of.items() if study != name}
        else:
            for row in engine.attempts:
                self._study_of.pop(row.token, None)
        return engine

    def _drop(self, name: str) -> StudyEngine | None:
        self._give_up_held(name)
        self.paces.pop(name, None)
        self._stirred.discard(name)
        self.replicas.close(name)
        return self._engines.pop(name, None)

    def take_up(self, name: str) -> None:
        """Reads a study again, whatever is in memory, and whether or not it is suspended."""
        snapshot = self.store.load(name)
        suspended = name in self.suspended
        if suspended or name in self:
            self.forget(name)
        if suspended:
            self.store.release(name)
        self.open(snapshot)

    def load(self, name: str) -> None:
        """Reads a study from the database, and makes its engine anew."""
        self.open(self.store.load(name))

    def open(self, snapshot: Snapshot) -> None:
        """Makes the engine of a study that was just read."""
        name, at = snapshot.spec.name, self.clock.wall()
        self._give_up_held(name)
        self.replicas.open(snapshot.spec, snapshot.seed)
        if self.record:
            opened = Opened(snapshot.spec.to_json(), snapshot.uid, snapshot.seed, answered=True, sampled=True)
            self.record.write(Record(name, at, opened))
        engine = self._engines[name] = StudyEngine(snapshot, at)
        self._stirred.add(name)
        self.progress()
        for token in engine.attempts.take_made():
            self._study_of[token] = name
        log.info(
            "study %s: %d of %d trials there",
            name,
            engine.trials.count,
            engine.budget,
            extra={"action": "study_opened", "study": name},
        )

    def apply(self, engine: StudyEngine, input: Input, entry: bytes = b"") -> bool:
        """Puts an input into an engine; an event behind the answer, where the study waits for its own pruner.

        Args:
            engine: The study's.
            input: What has happened.
            entry: Id of the entry of the stream that it was in, if it was.

        Returns:
            Whether the entry may be acknowledged.
        """
        if not (isinstance(input, EventReceived) and engine.awaits_verdict):
            self._apply(engine, input)
            return True
        held = self._held.setdefault(engine.name, {})
        # The keepers have those that find no room.
        if len(held) >= MOST_HELD:
            return True
        held[entry] = input
        return False

    def _give_up_held(self, name: str) -> None:
        """Forgets events that have waited. Their keepers have them, and send them again."""
        self._put_in |= dict.fromkeys(self._held.pop(name, {}), name)

    def take_put_in(self) -> dict[bytes, str]:
        """Returns the entries that have waited for a pruner and wait no more since the last call, each with its
        study."""
        entries, self._put_in = self._put_in, {}
        return entries

    def take_answers(self) -> None:
        """Puts in what the processes beside the loop have answered, and then what has waited for it."""
        for name, result in self.replicas.take():
            if (engine := self._engines.get(name)) is not None:
                with self.guarded(name):
                    self._take_answer(engine, result)

    def _take_answer(self, engine: StudyEngine, result: Answer | Exception) -> None:
        if isinstance(result, NotAnswered):
            again = [each for each in engine.trials.questions.unanswered() if role_of(each.kind) == result.role]
            self.replicas.ask(engine.name, again, engine.trials.sampler.copy)
            return
        if isinstance(result, Exception):
            if engine.state not in ENDED:
                raise result
            # It may have been stopped for this very reason, and has to come to its end.
            log.warning("study %s has ended, and waits for nothing more: %s", engine.name, result)
            for each in engine.trials.questions.unanswered():
                self.apply(engine, SamplerAnswered(each.without_answer()))
            self._put_in_held(engine)
            return
        self.apply(engine, SamplerAnswered(result))
        if result.kind == "report":
            self._put_in_held(engine)
        elif result.kind == "trial" and engine.spec.lookahead == "auto":
            self._look_further(engine, result.trial)

    def _put_in_held(self, engine: StudyEngine) -> None:
        """Puts in the events that have waited, until the pruner has to be asked again."""
        held = self._held.get(engine.name)
        while held and not engine.awaits_verdict:
            entry = next(iter(held))
            self._apply(engine, held.pop(entry))
            self._put_in[entry] = engine.name

    def _look_further(self, engine: StudyEngine, trial: int) -> None:
        """Lets as many trials wait as slots come free until the next one can follow."""
        pace = self.paces[engine.name]
        pace.answered(trial, self.clock.monotonic())
        wanted = pace.lookahead(self.slots.count(engine.spec.queue), engine.lookahead)
        if wanted != engine.lookahead:
            self.apply(engine, LookaheadChanged(wanted))

    def ask_replicas(self, name: str, batch: Batch) -> None:
        """Hands over what was committed of a study, and asks what it wants to know."""
        engine = self._engines[name]
        self.replicas.feed(name, batch.changes)
        if not batch.questions:
            return
        self.replicas.ask(name, batch.questions, engine.trials.sampler.copy)
        if trials := [question.trial for question in batch.questions if question.kind == "trial"]:
            self.paces[name].asked(trials, self.clock.monotonic())

    def _apply(self, engine: StudyEngine, input: Input) -> None:
        at = self.clock.wall()
        if self.record:
            self.record.write(Record(engine.name, at, input))
        self._stirred.add(engine.name)
        engine.apply(input, at)
        self.progress()
        for token in engine.attempts.take_made():
            self._study_of[token] = engine.name

    def addressed(self, study: str, send: Send) -> Send:
        """Returns a task of a trial that is committed with Optuna's id of it, which only the database knows."""
        return replace(send, job=msgspec.structs.replace(send.job, id=self.store.trial_id(study, send.job.trial)))

    def lose(self, row: AttemptRow, cause: str) -> None:
        """Says of an attempt that its runner is no more."""
        engine = self.of(row.token)
        if engine is None:
            return
        with self.guarded(engine.name):
            extra = of_trial("attempt_lost", engine.name, row.trial, row)
            log.warning("study %s: trial %d: %s", engine.name, row.trial, cause, extra=extra)
            self.apply(engine, AttemptLost(row.token, cause))

    def live(self, *states: AttemptState) -> list[AttemptRow]:
        """Returns the live attempts of all studies that stand in one of ``states``."""
        return [row for engine in self for row in engine.attempts.in_state(*states)]

    def take(self) -> dict[str, Batch]:
        """Returns what has come of the inputs since the last call, by study; nothing of one without any."""
        batches = {}
        for engine in [each for each in self._engines.values() if each.name in self._stirred]:
            self._stirred.discard(engine.name)
            with self.guarded(engine.name):
                batches[engine.name] = engine.take()
        return batches

    def close_ended(self, names: Iterable[str]) -> list[StudyEngine]:
        """Lets go of those of these studies that have ended and have no live attempt; returns them."""
        at_hand = [self._engines[name] for name in names if name in self._engines]
        over = [
            engine
            for engine in at_hand
            if engine.state in ENDED and not engine.awaits_any and not engine.attempts.count(*AttemptState)
        ]
        for engine in over:
            self.forget(engine.name)
            extra = {"action": "study_closed", "study": engine.name}
            log.info("study %s %s", engine.name, engine.state, extra=extra)
        return over

    def standing(self) -> list[tuple[progress_events.Progress, str]]:
        """Returns where the studies at hand stand, without their slots, each with its queue."""
        found = []
        for engine in self:
            with self.guarded(engine.name):
                found.append((engine.progress(()), engine.spec.queue))
        return found

    def close(self) -> None:
        """Ends the recording, and the processes beside the loop."""
        self.replicas.close()
        if self.record:
            self.record.close()
