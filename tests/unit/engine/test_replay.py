"""A recording, fed to new engines, gives the same rows and the same orders, byte for byte."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from driver import World, make_spec
from programs import conditional, noisy

from orchestrator.control import journal
from orchestrator.control.journal import Journal
from orchestrator.control.journal_record import Opened, PrunerAnswered, Record
from orchestrator.engine import inputs
from orchestrator.engine.inputs import Input
from orchestrator.engine.outputs import Batch
from orchestrator.spec import Spec
from tasks.contract import Epoch, Failed, Started
from tests.simulated.ledger import Ledger

SEARCH: dict[str, Any] = {
    "trials": 9,
    "sampler": {"name": "tpe", "n_startup_trials": 2},
    "pruner": {"name": "median", "n_startup_trials": 1, "n_warmup_steps": 1},
    "space": None,
}

RECORDED = Path(__file__).parent / "recorded"
"""Three searches: their inputs as an earlier version recorded them, and the rows that came of it."""


def eventful(**changes: Any) -> World:
    """A search in which something of everything happens."""
    world = World(make_spec(**SEARCH | changes), conditional, slots=3, shuffle=2)
    world.leave(world.until(Epoch), Failed(cause="died", error="TrainingProcessDied", message="signal 9"))
    world.lose(world.until(Epoch), still_there=True)
    world.feed(inputs.StudyPaused())
    for event in world.events[3:7]:
        world.deliver(event)
    world.feed(inputs.StudyResumed())
    missing = world.queue.pop(0)
    world.feed(inputs.TaskMissing(missing.token))
    world.until(Started)
    world.extend(make_spec(**SEARCH | changes | {"trials": 11}))
    return world.run()


def text(batch: Batch) -> str:
    """A batch to the last bit; NaN is NaN."""
    return repr(asdict(batch))


def written(world: World, path: Path) -> Path:
    book = Journal(path)
    for record in [world.opening(make_spec(**SEARCH)), *world.records]:
        book.write(record)
    book.close()
    return path


def test_what_was_recorded_happens_again(tmp_path: Path) -> None:
    world = eventful()
    batches: list[str] = []
    ledger = Ledger(world.ledger.spec, world.ledger.seed)

    def sink(record: Record, batch: Batch) -> None:  # noqa: ARG001
        batches.append(text(batch))
        ledger.commit(batch.changes)

    engines = journal.replay(journal.read(written(world, tmp_path / "journal")), sink)
    assert batches == [text(batch) for batch in world.batches]
    assert ledger.rows() == world.ledger.rows()
    assert engines["search"].progress() == world.engine.progress()
    assert world.state == "finished"


def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    world = eventful()
    found = list(journal.read(written(world, tmp_path / "journal")))
    assert repr(found[1:]) == repr(world.records)


def test_two_studies_in_one_recording_do_not_touch_each_other(tmp_path: Path) -> None:
    worlds = [World(make_spec(name=name, pruner=SEARCH["pruner"]), noisy).run() for name in ("a", "b")]
    book = Journal(tmp_path / "journal")
    for world, name in zip(worlds, ("a", "b"), strict=True):
        book.write(world.opening(make_spec(name=name, pruner=SEARCH["pruner"])))
    for pair in zip(*(world.records for world in worlds), strict=False):
        for record in pair:
            book.write(record)
    book.close()
    shortest = min(len(world.records) for world in worlds)
    engines = journal.replay(journal.read(tmp_path / "journal"), lambda *_: None)
    for world in worlds:
        if len(world.records) == shortest:
            assert engines[world.engine.name].progress() == world.engine.progress()


def test_a_recording_that_was_cut_off_ends_with_its_last_whole_record(tmp_path: Path) -> None:
    path = written(World(make_spec(trials=1)).run(), tmp_path / "journal")
    data = path.read_bytes()
    ends, at = [], 0
    while at < len(data):
        at += 4 + int.from_bytes(data[at : at + 4], "big")
        ends.append(at)
    for length in range(ends[1] + 1):
        path.write_bytes(data[:length])
        assert len(list(journal.read(path))) == sum(end <= length for end in ends), f"cut at {length}"


@pytest.mark.parametrize("left", [1, 2, 3, 4, 5, 20])
def test_a_recording_goes_on_after_a_crash_in_the_middle_of_a_record(tmp_path: Path, left: int) -> None:
    pause = Record("s", 1.0, inputs.StudyPaused())
    path = tmp_path / "journal"
    for record in (pause, Record("s", 1.0, inputs.StudyResumed())):
        book = Journal(path)
        book.write(record)
        book.close()
        with path.open("ab") as file:
            file.write((1_000).to_bytes(4, "big")[:left] + b"x" * max(0, left - 4))
    book = Journal(path)
    book.write(pause)
    book.close()
    assert [each.input for each in journal.read(path)] == [
        inputs.StudyPaused(),
        inputs.StudyResumed(),
        inputs.StudyPaused(),
    ]


def test_a_recording_of_an_earlier_version_gives_the_rows_that_it_gave_then() -> None:
    expected = json.loads((RECORDED / "rows.json").read_text())
    ledgers: dict[str, Ledger] = {}

    def sink(record: Record, batch: Batch) -> None:
        if isinstance(record.input, Opened):
            ledgers[record.study] = Ledger(Spec.from_json(record.input.spec), record.input.seed, record.input.uid)
        ledgers[record.study].commit(batch.changes)

    journal.replay(journal.read(RECORDED / "journal"), sink)
    assert json.loads(json.dumps({name: rows_of(ledger) for name, ledger in ledgers.items()})) == expected


def test_every_input_stands_in_that_recording() -> None:
    recorded = {type(record.input) for record in journal.read(RECORDED / "journal")}
    # Samplers answered in the fold, nothing was left to the control plane, and Ctrl-C paused a study.
    since = {inputs.SamplerAnswered, inputs.LookaheadChanged, inputs.StudyInterrupted}
    assert recorded == {Opened, PrunerAnswered, *get_args(Input)} - since


def rows_of(ledger: Ledger) -> dict[str, Any]:
    attempts = sorted(ledger.attempts.values(), key=lambda row: (row.trial, row.number))
    return {
        "state": [ledger.state, ledger.reason],
        "trials": [[row.state, row.values, row.steps, row.params] for row in ledger.trials.values()],
        "attempts": [[row.trial, row.number, str(row.state), row.cause, row.verdict] for row in attempts],
        "decisions": [list(row)[:-1] for row in ledger.decisions.values()],
    }


@pytest.mark.parametrize("call", ["apply", "answer", "dance"])
def test_a_record_of_nothing_known_is_refused(tmp_path: Path, call: str) -> None:
    data = msgspec.msgpack.encode({"study": "s", "call": call, "at": 0.0})
    (tmp_path / "journal").write_bytes(len(data).to_bytes(4, "big") + data)
    with pytest.raises(ValueError, match="record of"):
        list(journal.read(tmp_path / "journal"))
