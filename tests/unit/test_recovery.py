"""Who is taken for lost: only silence that means something counts, on one clock."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace

from orchestrator.changes import AttemptRow
from orchestrator.control.recovery import Watch, dead_here
from orchestrator.lifecycle import AttemptState

ROW = AttemptRow("token", 0, 1, AttemptState.RUNNING, 0.0, runner="runner")
LEASE = 6.0


def watching(since: float) -> Watch:
    watch = Watch(LEASE)
    watch.caught_up(since)
    return watch


def test_a_runner_that_speaks_within_its_lease_is_there() -> None:
    watch = watching(100.0)
    for now in range(100, 200, 5):
        watch.hear("token", now)
        assert watch.silent([ROW], now + LEASE) == []


def test_a_runner_that_is_silent_for_longer_than_its_lease_is_not() -> None:
    watch = watching(100.0)
    watch.hear("token", 110.0)
    assert watch.silent([ROW], 116.0) == []
    assert watch.silent([ROW], 116.1) == [ROW]


def test_one_that_was_never_heard_of_has_a_lease_from_when_the_stream_was_caught_up() -> None:
    watch = watching(100.0)
    assert watch.silent([ROW], 106.0) == []
    assert watch.silent([ROW], 106.1) == [ROW]


def test_silence_before_the_stream_was_read_proves_nothing() -> None:
    watch = Watch(LEASE)
    assert watch.silent([ROW], 1e9) == []
    watch.hear("token", 0.0)
    watch.caught_up(1000.0)
    assert watch.silent([ROW], 1006.0) == []
    assert watch.silent([ROW], 1006.1) == [ROW]


def test_after_falling_behind_everybody_has_a_whole_lease_again() -> None:
    watch = watching(100.0)
    watch.hear("token", 100.0)
    watch.fell_behind()
    assert watch.silent([ROW], 500.0) == []
    assert not watch.trusted(500.0)
    watch.caught_up(500.0)
    watch.caught_up(505.0)
    assert watch.silent([ROW], 506.0) == []
    assert watch.silent([ROW], 506.1) == [ROW]


def test_those_that_are_over_are_forgotten() -> None:
    watch = watching(0.0)
    for token in ("a", "b"):
        watch.hear(token, 1.0)
    watch.forget(["a", "unknown"])
    assert watch.heard == {"b": 1.0}


def test_a_process_of_this_host_that_is_gone_is_dead_at_once() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
    row = replace(ROW, host=socket.gethostname(), pid=process.pid)
    assert dead_here(row)
    assert not dead_here(replace(row, pid=os.getpid()))
    assert not dead_here(replace(row, pid=1)), "there, whoever owns it"


def test_of_another_host_nothing_is_known() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
    assert not dead_here(replace(ROW, host="elsewhere", pid=process.pid))
    assert not dead_here(replace(ROW, host=socket.gethostname(), pid=None))


def test_a_process_id_beyond_all_bounds_is_no_reason_to_stumble() -> None:
    """It comes from a worker; what is not known to be dead is waited for."""
    for pid in (2**31, 2**63 - 1, -1):
        assert not dead_here(replace(ROW, host=socket.gethostname(), pid=pid))


def test_long_before_somebody_is_given_up_it_is_asked_whether_anybody_can_be_heard() -> None:
    """An answer that fails begins the lease anew, so that who can be heard again has time to speak."""
    watch = watching(100.0)
    watch.hear("token", 110.0)
    assert not watch.doubtful([ROW], 113.0)
    assert watch.doubtful([ROW], 113.1)
    watch.fell_behind()
    assert not watch.doubtful([ROW], 120.0)
    watch.caught_up(120.0)
    assert watch.doubtful([ROW], 123.1)
    assert watch.silent([ROW], 126.0) == []
