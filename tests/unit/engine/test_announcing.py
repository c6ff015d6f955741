"""What is to be told of a search: its end, with what came of it, and each trial that is better than all before."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from driver import Course, Talk, World, make_spec
from programs import broken

from orchestrator.engine import inputs
from orchestrator.model.changeset import NoteRow
from tasks.contract import Finished

URL = "https://example.org/hook"


def returning(*values: float) -> Any:
    """Trial n reports and returns the nth of ``values``."""

    def objective(course: Course) -> Talk:
        yield from course.float("x")
        yield from course.report(1, values[course.number])
        return values[course.number]

    return objective


def notes_of(world: World) -> list[NoteRow]:
    return [note for batch in world.batches for note in batch.changes.notes]


def bodies(world: World) -> list[dict[str, Any]]:
    return [json.loads(note.body) for note in notes_of(world)]


def test_the_end_is_told_once_with_what_came_of_it() -> None:
    spec = make_spec(trials=3, direction="maximize", notify={"url": URL, "on": ["finished"], "command": ["true"]})
    world = World(spec, returning(1.0, 3.0, 2.0)).run()
    post, command = notes_of(world)
    assert (post.event, post.kind, command.event, command.kind) == ("finished", "post", "finished", "command")
    assert command.key == f"{post.key}:command"
    body = json.loads(post.body)
    assert body["id"] == post.key
    assert body["at"].startswith("2023-11-1")
    assert {key: body[key] for key in ("study", "event", "state", "reason", "trials", "epochs")} == {
        "study": "search",
        "event": "finished",
        "state": "finished",
        "reason": "",
        "trials": {"complete": 3, "pruned": 0, "failed": 0},
        "epochs": 3,
    }
    assert (body["best"]["number"], body["best"]["value"]) == (1, 3.0)
    assert body["best"]["params"].keys() == {"x"}
    assert "front" not in body
    assert body["text"] == "study search finished: best 3 by trial 1; 3 complete, 0 pruned, 0 failed"


@pytest.mark.parametrize("rebuild", [False, True])
def test_each_better_trial_is_told_and_no_other(rebuild: bool) -> None:
    spec = make_spec(trials=5, direction="maximize", notify={"url": URL, "on": ["best"]})
    world = World(spec, returning(1.0, 3.0, 2.0, 3.0, 4.0), rebuild=rebuild).run()
    assert [body["event"] for body in bodies(world)] == ["best"] * 3
    assert [body["best"]["number"] for body in bodies(world)] == [0, 1, 4]
    assert bodies(world)[1]["trials"] == {"complete": 2, "pruned": 0, "failed": 0}
    assert len({note.key for note in notes_of(world)}) == 3


def test_of_several_better_ones_in_one_batch_the_last_is_told() -> None:
    world = World(make_spec(trials=2, notify={"url": URL, "on": ["best"]}), returning(2.0, 1.0), slots=2)
    for slot in world.slots:
        world.turn(slot)
    world.hold = True
    for slot in world.slots:
        while world.turn(slot):
            pass
    world.commit()
    assert [body["best"]["number"] for body in bodies(world)] == [1]


def test_a_failure_is_told_with_all_that_ended_by_it() -> None:
    world = World(make_spec(trials=10, notify={"endpoint": "team"}), broken).run()
    (body,) = bodies(world)
    assert (body["event"], body["state"], body["best"]) == ("failed", "failed", None)
    assert body["trials"] == {"complete": 0, "pruned": 0, "failed": 3}
    assert body["reason"] == world.ledger.reason != ""
    assert body["text"].startswith("study search failed (the first 3 trials all failed alike")


def test_only_what_is_wanted_is_told() -> None:
    for notify in (None, {"url": URL, "on": ["failed"]}, {"url": URL, "on": ["failed", "best"]}):
        world = World(make_spec(trials=1, notify=notify), returning(math.nan)).run()
        assert [note.event for note in notes_of(world)] == (["failed"] if notify else [])
    world = World(make_spec(trials=1, notify={"command": ["true"]}), returning(1.0)).run()
    assert [(note.event, note.kind) for note in notes_of(world)] == [("finished", "command")]


def test_a_search_that_a_person_stops_has_ended() -> None:
    world = World(make_spec(notify={"url": URL}), returning(*map(float, range(6))))
    world.turn(world.slots[0])
    world.feed(inputs.StudyStopped())
    (body,) = bodies(world)
    assert (body["event"], body["state"], body["reason"]) == ("finished", "stopped", "stopped by a person")


def test_a_search_that_goes_on_ends_again() -> None:
    notify = {"url": URL}
    world = World(make_spec(trials=2, notify=notify), returning(*map(float, range(9)))).run()
    world.extend(make_spec(trials=4, notify=notify))
    world.run()
    first, second = notes_of(world)
    assert first.key != second.key
    assert [body["trials"]["complete"] for body in bodies(world)] == [2, 4]


def test_several_objectives_have_a_front_and_no_best() -> None:
    def objective(course: Course) -> Talk:
        yield from course.float("x")
        yield Finished(values=(float(course.number), -float(course.number)))
        return 0.0

    spec = make_spec(trials=3, directions=["minimize", "minimize"], notify={"url": URL})
    (body,) = bodies(World(spec, objective).run())
    assert (body["best"], body["front"]) == (None, 3)
    assert "Pareto front of 3" in body["text"]


def test_what_json_has_no_number_for_is_null() -> None:
    world = World(make_spec(trials=1, notify={"url": URL}), returning(math.inf)).run()
    (note,) = notes_of(world)
    assert "Infinity" not in note.body
    assert json.loads(note.body)["best"]["value"] is None
