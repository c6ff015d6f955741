"""A recording of all inputs of the engines, and its replay without Redis, Celery or a clock."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from orchestrator.control import journal_record
from orchestrator.control.journal_record import JudgedRecord, Opened, Record
from orchestrator.engine import inputs
from orchestrator.engine.outputs import Batch
from orchestrator.engine.state import Snapshot
from orchestrator.engine.study import StudyEngine
from orchestrator.sampling.pruner_replica import PrunerReplica, own_classes
from orchestrator.sampling.questions import Question, Role, feed_of, role_of
from orchestrator.sampling.sampler_replica import Replica
from orchestrator.spec import Spec


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


def read(path: Path) -> Iterator[Record | JudgedRecord]:
    """Yields the records of a journal; one that was cut off while it was written ends it.

    Raises:
        ValueError: what a record holds is no input.
    """
    decoder = msgspec.msgpack.Decoder(Record)
    for data in _frames(path):
        try:
            yield decoder.decode(data)
        except msgspec.ValidationError:
            yield journal_record.decode(data)


def replay(records: Iterable[Record | JudgedRecord], sink: Callable[[Record, Batch], None]) -> dict[str, StudyEngine]:
    """Feeds the records to new engines; hands what comes of each record to ``sink``; returns the engines."""
    engines: dict[str, StudyEngine] = {}
    replicas: dict[str, _Replicas] = {}
    for each in records:
        record = _as_asked(each, engines[each.study]) if isinstance(each, JudgedRecord) else each
        opened = record.input
        if not isinstance(opened, Opened):
            engines[record.study].apply(opened, record.at)
        elif record.study not in engines:
            spec = Spec.from_json(opened.spec)
            engines[record.study] = StudyEngine(Snapshot(spec=spec, uid=opened.uid, seed=opened.seed), record.at)
            made: _Replicas = {}
            replicas[record.study] = made
            if not opened.answered and own_classes(spec):
                made["pruner"] = PrunerReplica(spec)
            if not opened.sampled:
                made["sampler"] = Replica(spec, opened.seed)
        _take(record, engines[record.study], replicas[record.study], sink)
    return engines


_Replicas = dict[Role, Replica | PrunerReplica]
"""What answers where a recording holds no answers."""


def _as_asked(record: JudgedRecord, engine: StudyEngine) -> Record:
    """Returns the record of an earlier version as it is written now."""
    open_question = next((each for each in engine.trials.questions.unanswered() if each.kind == "report"), None)
    if open_question is None:
        raise ValueError(f"study {record.study}: an answer of a pruner that was not asked")
    return Record(record.study, record.at, inputs.SamplerAnswered(record.input.answer.to(open_question)))


def _take(record: Record, engine: StudyEngine, replicas: _Replicas, sink: Callable[[Record, Batch], None]) -> None:
    """Hands out what comes of a record; where a replica is given, it answers at once."""
    questions = _hand_out(record, engine, replicas, sink)
    while questions:
        question = questions.pop(0)
        if (replica := replicas.get(role_of(question.kind))) is not None:
            answered = inputs.SamplerAnswered(replica.answer(question))
            engine.apply(answered, record.at)
            questions += _hand_out(Record(record.study, record.at, answered), engine, replicas, sink)


def _hand_out(
    record: Record, engine: StudyEngine, replicas: _Replicas, sink: Callable[[Record, Batch], None]
) -> list[Question]:
    batch = engine.take()
    sink(record, batch)
    for replica in replicas.values():
        if (feed := feed_of(batch.changes)) is not None:
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
