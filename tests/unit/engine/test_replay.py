"""A recording, fed to new engines, gives the same rows and the same orders, byte for byte."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from driver import World, make_spec
from programs import conditional, noisy

from orchestrator.control import journal
from orchestrator.control.journal import Journal, Record
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


def eventful(**changes: Any) -> World:
    """A search in which something of everything happens."""
    world = World(make_spec(**SEARCH | changes), conditional, slots=3, shuffle=2)
    world.leave(world.until(Epoch), Failed(cause="died", error="TrainingProcessDied", message="signal 9"))
    world.lose(world.until(Epoch), still_there=True)
    world.feed("pause")
    for record in world.records[3:7]:
        if record.event:
            world.deliver(record.event)
    world.feed("resume")
    missing = world.queue.pop(0)
    world.feed("resend", token=missing.token)
    world.until(Started)
    world.extend(make_spec(**SEARCH | changes | {"trials": 11}))
    return world.run()


def text(batch: Batch) -> str:
    """A batch to the last bit; NaN is NaN."""
    return repr(asdict(batch))


def opening(world: World, spec: Spec) -> Record:
    ledger = world.ledger
    return Record(
        study=spec.name, call="open", at=1_700_000_000.0, spec=spec.to_json(), uid=ledger.uid, seed=ledger.seed
    )


def written(world: World, path: Path) -> Path:
    book = Journal(path)
    for record in [opening(world, make_spec(**SEARCH)), *world.records]:
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
        book.write(opening(world, make_spec(name=name, pruner=SEARCH["pruner"])))
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
    record = Record(study="s", call="pause", at=1.0)
    path = tmp_path / "journal"
    for call in ("pause", "resume"):
        book = Journal(path)
        book.write(Record(study="s", call=call, at=1.0))
        book.close()
        with path.open("ab") as file:
            file.write((1_000).to_bytes(4, "big")[:left] + b"x" * max(0, left - 4))
    book = Journal(path)
    book.write(record)
    book.close()
    assert [each.call for each in journal.read(path)] == ["pause", "resume", "pause"]


@pytest.mark.parametrize("record", [Record(study="s", call="apply", at=0.0), Record(study="s", call="dance", at=0.0)])
def test_a_record_of_nothing_known_is_refused(record: Record) -> None:
    with pytest.raises(ValueError, match="record of"):
        journal.feed(World(make_spec()).engine, record)
