"""What is done to the stack: each fault strikes once, and says which trials it has struck."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import redis

from tests.chaos.records import Live, Records
from tests.chaos.stack import CONTROL_PLANES, LEASE, WORKERS, Stack


@dataclass(frozen=True)
class Blow:
    """What a fault has struck: trials whose attempt is over by it, or, where there are none, everything.

    ``over`` is when the fault itself was over, by ``time.monotonic``; recovery is counted from there.
    """

    victims: tuple[Live, ...]
    over: float


Fault = Callable[[Stack, Records, random.Random], Blow | None]
"""Returns ``None`` where there was nothing to strike."""


def kill_trainer(_: Stack, records: Records, chance: random.Random) -> Blow | None:
    """SIGKILL to a training process."""
    return _kill_by(records, chance, _trainer)


def kill_keeper(_: Stack, records: Records, chance: random.Random) -> Blow | None:
    """SIGKILL to the pool process above a training process."""
    return _kill_by(records, chance, _keeper)


def kill_worker(stack: Stack, records: Records, chance: random.Random) -> Blow | None:
    """SIGKILL to a worker's main process."""
    name = chance.choice(WORKERS)
    return _strike_worker(stack, records, name, signal.SIGKILL)


def end_worker(stack: Stack, records: Records, chance: random.Random) -> Blow | None:
    """SIGTERM to a worker, which hands its trials back."""
    name = chance.choice(WORKERS)
    return _strike_worker(stack, records, name, signal.SIGTERM)


def freeze_worker(stack: Stack, records: Records, chance: random.Random) -> Blow | None:
    """A worker and everything below it stand still for two leases."""
    name = chance.choice(WORKERS)
    process = stack.running[name]
    if process.poll() is not None:
        return None
    victims = _of(records, name)
    frozen = [process.pid, *descendants(process.pid)]
    signal_all(frozen, signal.SIGSTOP)
    time.sleep(2 * LEASE)
    signal_all(frozen, signal.SIGCONT)
    # The others have been at it since the lease ran out.
    return Blow(victims, time.monotonic() - LEASE) if victims else None


def kill_control_plane(stack: Stack, _: Records, chance: random.Random) -> Blow | None:
    """SIGKILL to a control plane, be it the active one or the one that stands by."""
    stack.running[chance.choice(CONTROL_PLANES)].kill()
    return Blow((), time.monotonic())


def freeze_control_plane(stack: Stack, _: Records, chance: random.Random) -> Blow | None:
    """A control plane stands still for two leases."""
    name = chance.choice(CONTROL_PLANES)
    if stack.running[name].poll() is not None:
        return None
    stack.signal(name, signal.SIGSTOP)
    time.sleep(2 * LEASE)
    stack.signal(name, signal.SIGCONT)
    return Blow((), time.monotonic())


def restart_redis(stack: Stack, _: Records, chance: random.Random) -> Blow | None:
    """SIGKILL to Redis; it is back within two seconds, with what its append-only file holds."""
    stack.redis.kill()
    time.sleep(chance.uniform(0.0, 2.0))
    stack.redis.start()
    return Blow((), time.monotonic())


def wipe_redis(stack: Stack, _: Records, __: random.Random) -> Blow | None:
    """FLUSHALL."""
    with contextlib.closing(redis.Redis.from_url(stack.redis.url)) as client:
        client.flushall()
    return Blow((), time.monotonic())


def restart_postgresql(stack: Stack, _: Records, chance: random.Random) -> Blow | None:
    """PostgreSQL is ended as by a crash; it is back within two seconds."""
    stack.postgresql.kill()
    time.sleep(chance.uniform(0.0, 2.0))
    stack.postgresql.start()
    return Blow((), time.monotonic())


FAULTS: dict[str, tuple[Fault, float]] = {
    "training process killed": (kill_trainer, 4),
    "keeper killed": (kill_keeper, 3),
    "worker killed": (kill_worker, 2),
    "worker told to stop": (end_worker, 2),
    "worker frozen": (freeze_worker, 1),
    "control plane killed": (kill_control_plane, 3),
    "control plane frozen": (freeze_control_plane, 1),
    "Redis killed": (restart_redis, 2),
    "Redis wiped": (wipe_redis, 2),
    "PostgreSQL killed": (restart_postgresql, 1),
}
"""With the weight that each is chosen by."""


def _kill_by(records: Records, chance: random.Random, process: Callable[[int], int]) -> Blow | None:
    live = list(records.live.values())
    if not live:
        return None
    victim = chance.choice(live)
    try:
        os.kill(process(victim.pid), signal.SIGKILL)
    except (OSError, ValueError):
        # It has ended since it was seen.
        return None
    return Blow((victim,), time.monotonic())


def _strike_worker(stack: Stack, records: Records, name: str, number: signal.Signals) -> Blow | None:
    if stack.running[name].poll() is not None:
        return None
    victims = _of(records, name)
    stack.signal(name, number)
    return Blow(victims, time.monotonic()) if victims else None


def _of(records: Records, worker: str) -> tuple[Live, ...]:
    return tuple(live for live in records.live.values() if live.slot.startswith(f"{worker}@"))


def _trainer(pid: int) -> int:
    """Returns ``pid``, unless another process has it by now."""
    if b"tasks.trainer" not in Path(f"/proc/{pid}/cmdline").read_bytes():
        raise ValueError(f"process {pid} trains nothing")
    return pid


def _keeper(pid: int) -> int:
    return int(Path(f"/proc/{_trainer(pid)}/stat").read_text().rpartition(")")[2].split()[1])


def descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *descendants(child)]
    return found


def signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
