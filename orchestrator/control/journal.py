"""A recording of all inputs of the engines, and its replay without Redis, Celery or a clock."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.engine import inputs
from orchestrator.engine.inputs import Input
from orchestrator.engine.outputs import Batch
from orchestrator.engine.state import Snapshot
from orchestrator.engine.study import StudyEngine
from orchestrator.model.silence import Silence
from orchestrator.sampling.pruner_host import Judge, has_own_class
from orchestrator.sampling.questions import Question, feed_of
from orchestrator.sampling.remote_pruner import Answer
from orchestrator.sampling.sampler_replica import Replica
from orchestrator.spec import Spec
from tasks.contract import Event


class Opened(msgspec.Struct, frozen=True, tag=True, tag_field="kind", omit_defaults=True):
    """A study was read from the database, and its engine made.

    ``answered``: the answers of the user's own pruner are recorded, too, ``sampled``: those of the sampler. Without
    these, in recordings of earlier versions, a replay asks again.
    """

    spec: dict[str, Any]
    uid: str
    seed: int
    answered: bool = False
    sampled: bool = False


class Record(msgspec.Struct, frozen=True):
    """One input of one study, at what time in seconds since the epoch."""

    study: str
    at: float
    input: Input | Opened


class Journal:
    """Appends records to a file, each with its length before it.

    A record that was cut off by a crash is removed first: what comes after it could not be read.

    Args:
        path: The file; made if it is missing.
    """

    def __init__(self, path: Path) -> None:
        whole = sum(4 + len(data) for data in _frames(path)) if path.exists() else 0
        self._file = path.open("ab")
        self._file.truncate(whole)
        self._encoder = msgspec.msgpack.Encoder()

    def write(self, record: Record) -> None:
        """Appends a record; of a spec without what is secret in it."""
        if isinstance(record.input, inputs.SpecChanged | Opened):
            spec = Spec.from_json(record.input.spec).shown()
            record = msgspec.structs.replace(record, input=msgspec.structs.replace(record.input, spec=spec))
        data = self._encoder.encode(record)
        self._file.write(len(data).to_bytes(4, "big") + data)
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read(path: Path) -> Iterator[Record]:
    """Yields the records of a journal; one that was cut off while it was written ends it.

    Raises:
        ValueError: what a record holds is no input.
    """
    decoder = msgspec.msgpack.Decoder(Record)
    for data in _frames(path):
        try:
            yield decoder.decode(data)
        except msgspec.ValidationError:
            yield msgspec.msgpack.decode(data, type=_Call).record()


def replay(records: Iterator[Record], sink: Callable[[Record, Batch], None]) -> dict[str, StudyEngine]:
    """Feeds the records to new engines; hands what comes of each record to ``sink``; returns the engines."""
    engines: dict[str, StudyEngine] = {}
    judges: dict[str, Judge] = {}
    replicas: dict[str, Replica] = {}
    for record in records:
        opened = record.input
        if not isinstance(opened, Opened):
            engines[record.study].apply(opened, record.at)
        elif record.study not in engines:
            spec = Spec.from_json(opened.spec)
            engines[record.study] = StudyEngine(Snapshot(spec=spec, uid=opened.uid, seed=opened.seed), record.at)
            if not opened.answered and has_own_class(spec):
                judges[record.study] = Judge(spec)
            if not opened.sampled:
                replicas[record.study] = Replica(spec, opened.seed)
        engine = engines[record.study]
        if (question := engine.take_question()) is not None and record.study in judges:
            engine.apply(inputs.PrunerAnswered(judges[record.study].answer(question)), record.at)
        if not engine.waits:
            _take(record, engine, replicas.get(record.study), sink)
    return engines


def _take(record: Record, engine: StudyEngine, replica: Replica | None, sink: Callable[[Record, Batch], None]) -> None:
    """Hands out what comes of a record; where a replica is given, it answers at once."""
    questions = _hand_out(record, engine, replica, sink)
    while replica is not None and questions:
        answer = replica.answer(questions.pop(0))
        answered = inputs.SamplerAnswered(answer)
        engine.apply(answered, record.at)
        questions += _hand_out(Record(record.study, record.at, answered), engine, replica, sink)


def _hand_out(
    record: Record, engine: StudyEngine, replica: Replica | None, sink: Callable[[Record, Batch], None]
) -> list[Question]:
    batch = engine.take()
    sink(record, batch)
    if replica is not None and (feed := feed_of(batch.changes)) is not None:
        # Nothing may be shared with what is handed out.
        replica.apply(copy.deepcopy(feed))
    return list(batch.questions)


def _frames(path: Path) -> Iterator[bytes]:
    """Yields the bytes of each whole record."""
    with path.open("rb") as file:
        while len(length := file.read(4)) == 4:
            data = file.read(int.from_bytes(length, "big"))
            if len(data) < int.from_bytes(length, "big"):
                return
            yield data


class _Call(msgspec.Struct, kw_only=True):
    """A record as earlier versions wrote it: the name of a method of theirs, and its arguments."""

    study: str
    call: str
    at: float
    event: Event | None = None
    token: str = ""
    silence: Silence | None = None
    text: str = ""
    spec: dict[str, Any] = {}
    uid: str = ""
    seed: int = 0
    slots: int = 0
    trial: int = 0
    params: dict[str, Any] = {}
    answer: Answer | None = None
    answered: bool = False

    def record(self) -> Record:
        """Returns the record as it is written now.

        Raises:
            ValueError: there is no such call, or what it needs is missing.
        """
        match self.call:
            case "open":
                return Record(self.study, self.at, Opened(self.spec, self.uid, self.seed, self.answered))
            case "apply" if self.event is not None:
                return Record(self.study, self.at, inputs.EventReceived(self.event))
            case "answer" if self.answer is not None:
                return Record(self.study, self.at, inputs.PrunerAnswered(self.answer))
        known: dict[str, Input] = {
            "lose": inputs.AttemptLost(self.token, self.text),
            "note_silence": inputs.SilenceChanged(self.token, self.silence),
            "resend": inputs.TaskMissing(self.token),
            "count_slots": inputs.SlotsCounted(self.slots),
            "tick": inputs.TimePassed(),
            "extend": inputs.SpecChanged(self.spec),
            "enqueue": inputs.TrialEnqueued(self.params),
            "retry": inputs.TrialRetried(self.trial),
            "pause": inputs.StudyPaused(),
            "resume": inputs.StudyResumed(),
            "stop": inputs.StudyStopped(self.text),
        }
        if self.call not in known:
            raise ValueError(f"a record of an unknown call '{self.call}', or one without what it needs")
        return Record(self.study, self.at, known[self.call])
