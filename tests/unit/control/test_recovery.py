"""Who is taken for lost: only silence that means something counts, on one clock."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace

from orchestrator.control.liveness import HeartbeatTracker, SlotTracker, dead_here
from orchestrator.control.ports import Phase
from orchestrator.model.changeset import AttemptRow
from orchestrator.model.lifecycle import AttemptState
from orchestrator.spec.model import validate
from tasks import redis_keys
from tasks.contract import Event, Heartbeat, Revoked
from tasks.process_identity import with_namespace
from tests.simulated.simulation import Simulation

ROW = AttemptRow("token", 0, 1, AttemptState.RUNNING, 0.0, runner=with_namespace("runner"))
LEASE = 6.0
PAUSE = 2.0


def following(watch: HeartbeatTracker, begin: float, end: float) -> None:
    """Reads all that there is, every second."""
    now = begin
    while now <= end:
        watch.begin_read(now)
        watch.read_everything()
        now += 1.0


def watching(since: float) -> HeartbeatTracker:
    watch = HeartbeatTracker(LEASE, PAUSE)
    following(watch, since, since)
    return watch


def test_a_runner_that_speaks_within_its_lease_is_there() -> None:
    watch = watching(100.0)
    for now in range(100, 200, 6):
        watch.hear("token", now)
        following(watch, now, now + LEASE)
        assert watch.silent([ROW]) == []


def test_a_runner_that_is_silent_for_longer_than_its_lease_is_not() -> None:
    watch = watching(100.0)
    watch.hear("token", 101.0)
    following(watch, 102.0, 107.0)
    assert watch.silent([ROW]) == []
    following(watch, 108.0, 108.0)
    assert watch.silent([ROW]) == [ROW]


def test_one_that_was_never_heard_of_has_a_lease_from_when_the_stream_was_read() -> None:
    watch = watching(100.0)
    following(watch, 101.0, 106.0)
    assert watch.silent([ROW]) == []
    following(watch, 107.0, 107.0)
    assert watch.silent([ROW]) == [ROW]


def test_silence_before_the_stream_was_read_proves_nothing() -> None:
    watch = HeartbeatTracker(LEASE, PAUSE)
    assert watch.silent([ROW]) == []
    watch.hear("token", 0.0)
    following(watch, 1000.0, 1006.0)
    assert watch.silent([ROW]) == []
    following(watch, 1007.0, 1007.0)
    assert watch.silent([ROW]) == [ROW]


def test_after_an_outage_everybody_has_a_whole_lease_again() -> None:
    watch = watching(100.0)
    watch.hear("token", 100.0)
    watch.fell_behind()
    assert watch.silent([ROW]) == []
    assert not watch.trusted()
    following(watch, 500.0, 506.0)
    assert watch.silent([ROW]) == []
    assert not watch.trusted()
    following(watch, 507.0, 507.0)
    assert watch.silent([ROW]) == [ROW]
    assert watch.trusted()


def test_no_runner_is_lost_in_a_step_that_takes_longer_than_the_lease() -> None:
    """One ask of a minute: what was said meanwhile is read behind it."""
    watch = watching(100.0)
    watch.hear("token", 100.0)
    following(watch, 101.0, 102.0)
    assert watch.silent([ROW]) == []
    watch.begin_read(162.0)
    watch.hear("token", 162.1)
    watch.read_everything()
    assert watch.silent([ROW]) == []


def test_a_machine_that_stood_still_lost_no_runner() -> None:
    """Workers stood still with it, and have had no time to speak."""
    watch = watching(100.0)
    watch.hear("token", 100.0)
    following(watch, 1000.0, 1003.0)
    assert watch.silent([ROW]) == []
    following(watch, 1004.0, 1006.0)
    assert watch.silent([ROW]) == [ROW]


def test_slow_steps_put_off_a_loss_and_do_not_prevent_it() -> None:
    watch = watching(100.0)
    watch.hear("token", 100.0)
    now = 100.0
    while not watch.silent([ROW]):
        now += 3.0
        watch.begin_read(now)
        watch.read_everything()
    assert now <= 112.0


def test_in_a_backlog_silence_counts_up_to_what_has_been_read() -> None:
    watch = watching(100.0)
    watch.hear("token", 100.0)
    for now in range(101, 160):
        watch.begin_read(now)
        watch.read_up_to(b"%d-0" % now)
        assert watch.silent([ROW]) == [], "nothing says that it was silent"
        assert watch.doubtful([ROW], now) == (now > 103)
    assert watch.wants_end
    watch.note_end(b"1000-5", 160.0)
    assert not watch.wants_end
    for entry in (b"999-9", b"1000-4"):
        watch.read_up_to(entry)
        assert watch.silent([ROW]) == []
    watch.read_up_to(b"1000-5")
    assert watch.wants_end
    assert watch.silent([ROW]) == [ROW], "all that was said until 160 has been read"


def test_in_a_backlog_the_newest_heartbeat_counts() -> None:
    watch = watching(100.0)
    watch.hear("token", 100.0)
    now = 100.0
    for _ in range(50):
        watch.note_end(b"%d-0" % (now + 20), now)
        for _ in range(20):
            now += 1.0
            watch.begin_read(now)
            watch.read_up_to(b"%d-0" % now)
        # Its heartbeats are there, and are read long after they were said.
        watch.hear("token", now)
        watch.read_everything()
        assert watch.silent([ROW]) == []


def test_the_end_that_was_noted_before_an_outage_proves_nothing() -> None:
    watch = watching(100.0)
    watch.note_end(b"10-0", 120.0)
    watch.fell_behind()
    watch.read_up_to(b"11-0")
    assert watch.silent([ROW]) == []
    assert watch.wants_end


def test_those_that_are_over_are_forgotten() -> None:
    watch = watching(0.0)
    for token in ("a", "b"):
        watch.hear(token, 1.0)
    watch.forget(["a", "unknown"])
    assert set(watch.heard) == {"b"}


def test_a_process_of_this_host_that_is_gone_is_dead_at_once() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
    row = replace(ROW, host=socket.gethostname(), pid=process.pid)
    assert dead_here(row)
    assert not dead_here(replace(row, pid=os.getpid()))
    assert not dead_here(replace(row, pid=1)), "there, under any owner"


def test_of_another_host_nothing_is_known() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
    assert not dead_here(replace(ROW, host="elsewhere", pid=process.pid))
    assert not dead_here(replace(ROW, host=socket.gethostname(), pid=None))


def test_of_another_pid_namespace_nothing_is_known() -> None:
    """Nor of a worker that does not say in which one it is."""
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
    row = replace(ROW, host=socket.gethostname(), pid=process.pid)
    for runner in ("runner.0123456789ab", "runner", ""):
        assert not dead_here(replace(row, runner=runner))


def test_a_process_id_beyond_all_bounds_is_no_reason_to_stumble() -> None:
    """It comes from a worker; what is not known to be dead is waited for."""
    for pid in (2**31, 2**63 - 1, -1):
        assert not dead_here(replace(ROW, host=socket.gethostname(), pid=pid))


def test_long_before_a_runner_is_given_up_the_server_is_probed() -> None:
    """An answer that fails begins the lease anew, so that who can be heard again has time to speak."""
    watch = watching(100.0)
    watch.hear("token", 101.0)
    assert not watch.doubtful([ROW], 102.0)
    following(watch, 102.0, 104.0)
    assert not watch.doubtful([ROW], 104.0)
    assert watch.doubtful([ROW], 104.1)
    watch.fell_behind()
    assert not watch.doubtful([ROW], 120.0)
    following(watch, 120.0, 123.0)
    assert watch.doubtful([ROW], 123.1)
    assert watch.silent([ROW]) == []


def test_slots_that_are_silent_are_no_more() -> None:
    watch = watching(100.0)
    slots = SlotTracker(watch)
    slots.hear(Heartbeat(host="a", slot="a/0", busy=True, queues=("trials",)), 101.0)
    following(watch, 101.0, 104.0)
    slots.hear(Heartbeat(host="b", slot="b/0", queues=("trials", "other")), 104.0)
    following(watch, 105.0, 107.0)
    slots.forget_silent()
    assert (slots.count("trials"), slots.busy_and_idle()) == (2, (1, 1))
    following(watch, 108.0, 108.0)
    slots.forget_silent()
    assert (slots.count("trials"), slots.busy_and_idle()) == (1, (0, 1))


def test_a_process_that_has_ended_is_gone_before_it_is_waited_for() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert dead_here(replace(ROW, host=socket.gethostname(), pid=process.pid))
    process.wait()


def test_a_command_whose_ring_went_with_redis_is_carried_out_at_once() -> None:
    table = {"name": "s", "objective": "somewhere:objective", "trials": 2, "sampler": {"name": "random"}}
    world = Simulation(validate(table, "test"))
    world.start()
    for _ in range(5):
        world.round()
    world.database.issue("key", "pause", "s")
    world.redis.wipe()
    world.round()
    world.round()
    assert 1 in world.database.answers


def test_a_command_is_carried_out_once_though_the_next_one_commits_what_it_made() -> None:
    table = {"name": "s", "objective": "somewhere:objective", "trials": 1, "sampler": {"name": "random"}}
    world = Simulation(validate(table, "test"))
    world.start()
    for _ in range(3):
        world.round()
    world.redis.publish(Event(token=next(iter(world.ledger.attempts)), runner="", seq=0, body=Revoked(running=False)))
    world.round()
    world.database.issue("first", "retry", "s", {"trial": 0})
    world.database.issue("second", "reconcile", "s")
    world.redis.add({b"ring": redis_keys.DOORBELL.encode()})
    dead = world.passed.count(Phase.COMMITTED) + 1
    world.kill_when(lambda step: step == Phase.COMMITTED and world.passed.count(step) == dead)
    for _ in range(5):
        world.round()
    assert world.deaths
    assert len(world.ledger.trials) == 2
    assert set(world.database.answers) == {1, 2}
