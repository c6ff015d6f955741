"""A recording of everything that was put into the core, and its replay without Redis, Celery or a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.engine.outputs import Batch
from orchestrator.engine.state import Snapshot
from orchestrator.engine.study import StudyEngine
from orchestrator.model.silence import Silence
from orchestrator.sampling.pruner_host import Judge, has_own_class
from orchestrator.sampling.remote_pruner import Answer
from orchestrator.spec import Spec
from tasks.contract import Event


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One input of one study: which method of the engine was called, with what, at what time.

    ``answered`` stands with ``open``: what rules say that are asked in another process is recorded, too. Without it,
    in a recording of an earlier version, they are asked again.
    """

    study: str
    call: str
    at: float
    event: Event | None = None
    token: str = ""
    silence: Silence | None = None
    text: str = ""
    spec: dict[str, Any] | None = None
    uid: str = ""
    seed: int = 0
    slots: int = 0
    trial: int = 0
    params: dict[str, Any] | None = None
    answer: Answer | None = None
    answered: bool = False


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
        data = self._encoder.encode(record)
        self._file.write(len(data).to_bytes(4, "big") + data)
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read(path: Path) -> Iterator[Record]:
    """Yields the records of a journal; one that was cut off while it was written ends it."""
    decoder = msgspec.msgpack.Decoder(Record)
    for data in _frames(path):
        yield decoder.decode(data)


def _frames(path: Path) -> Iterator[bytes]:
    """Yields the bytes of each whole record."""
    with path.open("rb") as file:
        while len(length := file.read(4)) == 4:
            data = file.read(int.from_bytes(length, "big"))
            if len(data) < int.from_bytes(length, "big"):
                return
            yield data


def replay(records: Iterator[Record], sink: Callable[[Record, Batch], None]) -> dict[str, StudyEngine]:
    """Feeds the records to new engines; hands what comes of each record to ``sink``; returns the engines."""
    engines: dict[str, StudyEngine] = {}
    judges: dict[str, Judge] = {}
    for record in records:
        if record.call == "open":
            if record.study not in engines:
                spec = Spec.from_json(record.spec)
                engines[record.study] = StudyEngine(Snapshot(spec=spec, uid=record.uid, seed=record.seed), record.at)
                if not record.answered and has_own_class(spec):
                    judges[record.study] = Judge(spec)
        else:
            feed(engines[record.study], record)
        engine = engines[record.study]
        question = engine.take_question()
        if question is not None and record.study in judges:
            engine.answer(judges[record.study].answer(question), record.at)
        if not engine.waits:
            sink(record, engine.take())
    return engines


def feed(engine: StudyEngine, record: Record) -> None:
    """Puts one record into an engine."""
    match record.call:
        case "apply":
            if record.event is None:
                raise ValueError("a record of an event without the event")
            engine.apply(record.event, record.at)
        case "lose":
            engine.lose(record.token, record.text, record.at)
        case "note_silence":
            engine.note_silence(record.token, record.silence, record.at)
        case "resend":
            engine.resend(record.token, record.at)
        case "count_slots":
            engine.count_slots(record.slots, record.at)
        case "tick":
            engine.tick(record.at)
        case "extend":
            engine.extend(Spec.from_json(record.spec), record.at)
        case "enqueue":
            engine.enqueue(record.params or {}, record.at)
        case "answer":
            if record.answer is None:
                raise ValueError("a record of an answer without the answer")
            engine.answer(record.answer, record.at)
        case "retry":
            engine.retry(record.trial, record.at)
        case "pause" | "resume" | "stop":
            engine.command(record.call, record.at, record.text)
        case other:
            raise ValueError(f"a record of an unknown call '{other}'")
