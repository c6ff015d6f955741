"""The stream repeats, loses and delays entries; recording is idempotent, in order, and fenced."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from driver import World, make_spec
from programs import noisy

from tasks.contract import Epoch, Event, Finished, Heartbeat, Started


def settled(world: World) -> str:
    """The rows without what counts confirmations only."""
    return world.ledger.rows()


@pytest.mark.parametrize("part", [slice(None), slice(3, 9), slice(-4, None), slice(None, None, -1)])
def test_any_part_of_the_stream_can_be_replayed(part: slice) -> None:
    pruner = {"name": "asha", "min_resource": 1, "reduction_factor": 2}
    world = World(make_spec(pruner=pruner), noisy, slots=2).run()
    events = world.events
    before = settled(world)
    for event in events[part]:
        world.deliver(event)
    assert settled(world) == before
    assert world.engine.counts["duplicate"] + world.engine.counts["stale"] == len(events[part])


def test_an_entry_that_comes_twice_at_once_counts_once() -> None:
    once = World(make_spec(trials=3)).run()
    twice = World(make_spec(trials=3))
    while event := twice.say(twice.slots[0]):
        twice.deliver(event)
        twice.at -= 1
        twice.deliver(event)
    assert settled(twice) == settled(once)


def test_what_lies_beyond_a_gap_waits_until_the_gap_is_closed() -> None:
    world = World(make_spec(trials=1))
    run = world.until(Started)
    first, second, third = (world.say(world.slots[0]) for _ in range(3))
    assert first
    assert second
    assert third
    world.deliver(second)
    world.deliver(third)
    assert world.values(0) == []
    assert world.confirmations[run.job.token].seq == 1
    world.deliver(first)
    assert world.confirmations[run.job.token].seq == 2
    world.deliver(third)
    assert world.confirmations[run.job.token].seq == 2
    world.deliver(second)
    world.deliver(third)
    assert list(world.ledger.trials[0].steps) == [0, 1, 2]
    assert world.confirmations[run.job.token].seq == 4


def test_an_end_beyond_a_gap_does_not_end_the_trial() -> None:
    world = World(make_spec(trials=1))
    run = world.until(Started)
    lost = run.event(Epoch(step=0, value=0.5))
    end = run.event(Finished(values=(0.5,)))
    world.deliver(end)
    assert world.counts == {"RUNNING": 1}
    world.deliver(lost)
    world.deliver(end)
    assert world.counts == {"COMPLETE": 1}
    assert world.values(0) == [0.5]


def test_the_start_that_is_committed_first_is_the_one_that_counts() -> None:
    """The queue delivered one task twice."""
    world = World(make_spec(trials=1), slots=2)
    job = world.queue[0]
    winner = world.start(world.slots[0], job)
    loser = world.start(world.slots[1], job)
    world.deliver(winner)
    world.deliver(loser)
    assert world.confirmations[job.token].runner == winner.runner
    assert world.ledger.attempts[job.token].runner == winner.runner
    world.deliver(replace_seq(loser, 2, Epoch(step=0, value=123.0)))
    world.deliver(replace_seq(loser, 3, Finished(values=(123.0,))))
    assert world.engine.counts["stale"] == 3
    assert world.ledger.trials[0].state == "RUNNING"
    world.run()
    assert world.ledger.trials[0].values != (123.0,)
    assert world.counts == {"COMPLETE": 1}


def replace_seq(event: Event, seq: int, body: Epoch | Finished) -> Event:
    return msgspec.structs.replace(event, seq=seq, body=body)


def test_an_unknown_runner_is_dropped() -> None:
    world = World(make_spec(trials=2))
    run = world.until(Epoch)
    before = world.ledger.rows()
    for seq in (0, 1, 2, 3, 7):
        world.deliver(Event(token=run.job.token, runner="stranger", seq=seq, body=Epoch(step=3, value=9.0)))
    assert world.engine.counts["stale"] == 5
    assert world.ledger.rows() == before


def test_the_first_value_of_a_step_stays() -> None:
    world = World(make_spec(trials=1))
    run = world.until(Epoch)
    first = world.values(0)
    world.deliver(run.event(Epoch(step=0, value=99.0)))
    assert world.values(0) == first
    assert world.ledger.redone == [(0, 0, 99.0)]


def test_nothing_is_recorded_after_the_end() -> None:
    world = World(make_spec(trials=2))
    run = world.until(Epoch)
    world.leave(run, Finished(values=(0.125,)))
    before = replace(world.ledger.trials[0])
    world.deliver(run.event(Epoch(step=3, value=5.0)))
    world.deliver(run.event(Finished(values=(7.0,))))
    assert world.ledger.trials[0] == before
    assert world.confirmations[run.job.token].seq == len(run.said), "it must not be sent again for ever"
    assert world.engine.counts["stale"] == 2


def test_a_sign_of_life_changes_nothing() -> None:
    world = World(make_spec(trials=2))
    run = world.until(Epoch)
    before = world.ledger.rows()
    world.deliver(Event(token=run.job.token, runner=run.runner, seq=0, body=Heartbeat(host="h", slot="s")))
    assert world.ledger.rows() == before


def test_events_out_of_place_are_counted_and_confirmed() -> None:
    world = World(make_spec(trials=1))
    run = world.until(Epoch)
    world.deliver(run.event(Started(host="other", pid=2, slot="other")))
    assert world.engine.counts["unexpected"] == 1
    assert world.ledger.attempts[run.job.token].host == "host"
    world.run()
    assert world.counts == {"COMPLETE": 1}


def test_steps_may_come_in_any_order() -> None:
    world = World(make_spec(trials=1))
    run = world.until(Started)
    for step in (5, 2, 9, 0):
        world.deliver(run.event(Epoch(step=step, value=float(step))))
    assert world.ledger.trials[0].steps == {5: 5.0, 2: 2.0, 9: 9.0, 0: 0.0}
