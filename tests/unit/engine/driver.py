"""A fleet without processes: slots that take jobs and say what keepers would, one event at a time."""

from __future__ import annotations

import copy
import itertools
import pickle
from random import Random
from typing import Any, TypeVar, cast

from orchestrator.control.journal_record import Opened, Record
from orchestrator.engine import inputs
from orchestrator.engine.inputs import Input
from orchestrator.engine.outputs import Batch
from orchestrator.engine.state import SOONEST
from orchestrator.engine.study import StudyEngine
from orchestrator.sampling.pruner_replica import PrunerReplica, own_classes
from orchestrator.sampling.questions import Question, feed_of, role_of
from orchestrator.sampling.sampler_replica import Replica
from orchestrator.spec import Spec
from orchestrator.spec.model import validate
from tasks.contract import (
    TERMINAL,
    Body,
    Confirmation,
    Epoch,
    Event,
    Job,
    Released,
    Reply,
    Revoked,
    Started,
    Stopped,
    Suggest,
)
from tests.simulated.course import Course, Files, Objective, Run, Slot, Talk, learning
from tests.simulated.ledger import Ledger

__all__ = ["SPACE", "Course", "Objective", "Run", "Slot", "Talk", "World", "answer_all", "learning", "make_spec"]


def as_sent(value: T) -> T:
    """The value as another process gets it: nothing of it is shared."""
    return cast(T, pickle.loads(pickle.dumps(value)))


def answer_all(engine: StudyEngine, seed: int) -> None:
    """Lets a sampler answer what an engine asks, until it asks for nothing more."""
    engine.take()
    while questions := engine.trials.questions.unanswered():
        replica = Replica(engine.spec, seed)
        replica.load(as_sent(engine.trials.sampler.copy()))
        engine.apply(inputs.SamplerAnswered(replica.answer(questions[0])), engine.storage.now)
        engine.take()


SPACE = {"x": {"type": "float", "low": 0.0, "high": 1.0}}
T = TypeVar("T")
MANY_STEPS = 50_000


def make_spec(**changes: Any) -> Spec:
    """A small search with one parameter; ``changes`` replace keys, None takes one out."""
    table: dict[str, Any] = {
        "name": "search",
        "objective": "somewhere:objective",
        "trials": 6,
        "max_steps": 4,
        "sampler": {"name": "random"},
        "pruner": {"name": "none"},
        "space": SPACE,
    }
    table |= changes
    return validate({key: value for key, value in table.items() if value is not None}, "test")


class World:
    """An engine, its database, the queue, what Redis would hold, and the slots.

    Args:
        spec: The search.
        objective: What the slots run.
        slots: How many.
        seed: Of the study.
        rebuild: Throw the engine away after each batch and make it again from the database.
        shuffle: Which slot goes next is drawn with this seed; in turns without one.
        ledger: A database with something in it already.
    """

    def __init__(
        self,
        spec: Spec,
        objective: Objective = learning,
        slots: int = 1,
        *,
        seed: int = 7,
        rebuild: bool = False,
        shuffle: int | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.ledger = ledger or Ledger(spec, seed)
        self.objective = objective
        self._names = itertools.count()
        self.slots = [Slot(f"slot-{next(self._names)}") for _ in range(slots)]
        self.rebuild_always = rebuild
        self.at = 1_700_000_000.0
        self.queue: list[Job] = []
        self.revoked: list[str] = []
        self.replies: dict[str, Reply] = {}
        self.confirmations: dict[str, Confirmation] = {}
        self.records: list[Record] = []
        self.batches: list[Batch] = []
        self.sent: list[Job] = []
        self.runs: list[Run] = []
        self.hold = False
        self.files = Files()
        self._random = None if shuffle is None else Random(shuffle)
        self._runners = itertools.count(1)
        self._open()
        self.commit()
        self.count()

    def _open(self) -> None:
        snapshot = self.ledger.snapshot()
        self.engine = StudyEngine(snapshot, self.at)
        self.replica: Replica | None = None
        self.pruners: PrunerReplica | None = None
        self._replica_of: StudyEngine | None = None
        self.questions: list[Question] = []

    # -- towards the engine ---------------------------------------------------------------------------------------

    def feed(self, input: Input) -> None:
        """Puts one input into the engine and, unless ``hold`` is set, commits what comes of it."""
        self.at += 1.0
        self.records.append(Record(self.engine.name, self.at, input))
        self.engine.apply(input, self.at)
        if not self.hold:
            self.commit()

    def deliver(self, event: Event) -> None:
        self.feed(inputs.EventReceived(event))

    def extend(self, spec: Spec) -> None:
        self.ledger.spec = spec
        self.feed(inputs.SpecChanged(spec.to_json()))

    def commit(self) -> Batch:
        """Commits, then acts; the sampler's answers are batches of their own. Returns the first one, with the tasks
        that all of them send."""
        before = len(self.batches)
        batch = copy.copy(self._commit())
        if self.rebuild_always:
            self.rebuild()
        self.answer()
        batch.sends = [send for each in self.batches[before:] for send in each.sends]
        return batch

    def answer(self) -> None:
        """Lets the sampler answer everything that it is asked."""
        while self.questions:
            self.answer_one()

    def make_replica(self) -> None:
        """Gives the sampler, and pruners of the user's own, the study as it is now."""
        self._replica_of = self.engine
        self.replica = Replica(self.engine.spec, self.ledger.seed)
        self.replica.load(as_sent(self.engine.trials.sampler.copy()))
        self.pruners = PrunerReplica(self.engine.spec) if own_classes(self.engine.spec) else None
        if self.pruners is not None:
            self.pruners.load(as_sent(self.engine.trials.sampler.copy()))

    def answer_one(self) -> None:
        """Lets the oldest question be answered."""
        if self.replica is None or self._replica_of is not self.engine:
            self.make_replica()
        question = self.questions.pop(0)
        asked = self.pruners if role_of(question.kind) == "pruner" else self.replica
        assert asked is not None
        answer = inputs.SamplerAnswered(as_sent(asked.answer(as_sent(question))))
        self.records.append(Record(self.engine.name, self.at, answer))
        self.engine.apply(answer, self.at)
        self._commit()
        if self.rebuild_always:
            self.rebuild()

    def rebuild(self) -> None:
        """The control plane dies and starts again; what was not committed is gone. It knows of no slots then, until
        they are counted."""
        self._open()
        self._commit()
        for slot in self.slots:
            if (run := slot.run) is not None and run.waiting and run.runner not in self.replies:
                # Its keeper asks again.
                again = inputs.EventReceived(run.said[-1])
                self.records.append(Record(self.engine.name, self.at, again))
                self.engine.apply(again, self.at)
        self._commit()
        self.count()

    def count(self) -> None:
        """Tells the engine how many slots there are, if that is news to it."""
        if self.engine.trials.promotes and self.engine.slots != len(self.slots):
            counted = inputs.SlotsCounted(len(self.slots))
            self.records.append(Record(self.engine.name, self.at, counted))
            self.engine.apply(counted, self.at)
            if not self.hold:
                self._commit()
                self.answer()

    def _commit(self) -> Batch:
        batch = copy.deepcopy(self.engine.take())
        self.ledger.commit(batch.changes, batch.discards)
        self.files.drop(batch.discards)
        self.files.drop_artifacts(batch.artifact_discards, batch.sweep)
        self.batches.append(batch)
        feed = feed_of(batch.changes)
        for replica in (self.replica, self.pruners):
            if replica is not None and self._replica_of is self.engine and feed is not None:
                replica.apply(as_sent(feed))
        self.questions += batch.questions
        self.confirmations |= batch.confirmations
        self.revoked += [revoke.token for revoke in batch.revokes]
        for reply in batch.replies:
            known = self.replies.get(reply.runner)
            if known is None or known.seq <= reply.seq:
                self.replies[reply.runner] = reply
        for send in batch.sends:
            self.sent.append(send.job)
            self.queue.insert(0 if send.priority == SOONEST else len(self.queue), send.job)
        return batch

    # -- the slots ------------------------------------------------------------------------------------------------

    def run(self) -> World:
        """Goes on until no slot has anything to do."""
        for _ in range(MANY_STEPS):
            if not self.step():
                return self
        raise AssertionError("the search does not end")

    def step(self) -> bool:
        """Lets one slot say one thing; returns whether any had something to say."""
        order = list(self.slots)
        if self._random:
            self._random.shuffle(order)
        for slot in order:
            if self.turn(slot):
                self.slots.remove(slot)
                self.slots.append(slot)
                return True
        return False

    def turn(self, slot: Slot) -> bool:
        event = self.say(slot)
        if event is None:
            return False
        self.deliver(event)
        return True

    def say(self, slot: Slot) -> Event | None:
        """Returns the next thing that ``slot`` publishes, or None where it has nothing to do."""
        if slot.run is None:
            job = self._take_job()
            return None if job is None else self.start(slot, job)
        run = slot.run
        confirmation = self.confirmations.get(run.job.token)
        if confirmation and (confirmation.verdict or confirmation.runner not in ("", run.runner)):
            slot.run = None
            return run.event(Stopped(latency=0.01))
        if run.waiting:
            reply = self.replies.pop(run.runner, None)
            if reply is None or reply.seq != len(run.said):
                return None
            run.waiting, run.reply = False, reply
        body = run.next()
        if isinstance(body, Suggest) and not body.used:
            run.waiting = True
        if isinstance(body, TERMINAL):
            slot.run = None
        return run.event(body)

    def start(self, slot: Slot, job: Job) -> Event:
        """Begins ``job`` on ``slot``: the first event of a new runner."""
        course = Course(job, self.files)
        run = slot.run = Run(course, f"runner-{next(self._runners)}", self.objective(course))
        self.runs.append(run)
        resume = job.checkpoints[0].step if job.checkpoints else None
        return run.event(Started(host="host", pid=1, slot=slot.name, resume_step=resume))

    def resize(self, slots: int) -> None:
        """Slots come, or go: the trial on one that goes is handed back."""
        while len(self.slots) < slots:
            self.slots.append(Slot(f"slot-{next(self._names)}"))
        gone, self.slots = self.slots[slots:], self.slots[:slots]
        for slot in gone:
            if slot.run is not None:
                self.deliver(slot.run.event(Released()))
        self.count()

    def until(self, kind: type, slot: Slot | None = None) -> Run:
        """Lets the slots go on until one of them has said something of ``kind``; returns its run."""
        for _ in range(MANY_STEPS):
            for each in [slot] if slot else list(self.slots):
                run = each.run
                if self.turn(each):
                    run = each.run or run
                    if run and isinstance(run.said[-1].body, kind):
                        return run
        raise AssertionError(f"no slot says {kind.__name__}")

    def leave(self, run: Run, body: Body) -> None:
        """The run ends with ``body``, whatever its training was about to say."""
        self.vacate(run)
        self.deliver(run.event(body))

    def lose(self, run: Run, *, still_there: bool = False) -> None:
        """The control plane takes the run for lost; its slot is gone unless it is ``still_there``."""
        if not still_there:
            self.vacate(run)
        self.feed(inputs.AttemptLost(run.job.token, "no sign of life"))

    def vacate(self, run: Run) -> None:
        """The slot of ``run`` is free."""
        for slot in self.slots:
            if slot.run is run:
                slot.run = None

    def _take_job(self) -> Job | None:
        while self.queue:
            job = self.queue.pop(0)
            if job.token not in self.revoked:
                return job
            self.deliver(Event(token=job.token, runner="", seq=0, body=Revoked(running=False)))
        return None

    # -- looking --------------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        return self.ledger.state

    @property
    def counts(self) -> dict[str, int]:
        return self.ledger.counts()

    @property
    def events(self) -> list[Event]:
        """All events that were delivered, in order."""
        heard = [record.input for record in self.records]
        return [input.event for input in heard if isinstance(input, inputs.EventReceived)]

    def opening(self, spec: Spec, *, answered: bool = False) -> Record:
        """The record of how this world began, with ``spec``."""
        opened = Opened(spec.to_json(), self.ledger.uid, self.ledger.seed, answered, sampled=True)
        return Record(spec.name, 1_700_000_000.0, opened)

    @property
    def epochs(self) -> list[tuple[int, int]]:
        """All (trial, step) that were ever reported, in order."""
        trial_of = {run.job.token: run.job.trial for run in self.runs}
        return [(trial_of[event.token], event.body.step) for event in self.events if isinstance(event.body, Epoch)]

    def held(self) -> list[tuple[int, int]]:
        """(step, number of trials that reached it) for each rung of a search with promotion."""
        promotion = self.engine.trials.decisions.promotion
        assert promotion is not None
        return promotion.held()

    def values(self, number: int) -> list[float]:
        return list(self.ledger.trials[number].steps.values())
