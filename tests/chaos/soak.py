"""The soak itself: faults at random, one after the other, and the time that the search took to go on after each."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.faults import FAULTS, Blow
from tests.chaos.records import Account, Records, settle
from tests.chaos.stack import Stack
from tests.servers import PostgreSQL, Redis

STUDY = "soak"
RECOVERY_SECONDS = 60.0
"""When the search has not gone on by then, the soak has failed."""
END_SECONDS = 300.0
"""So long the search may take to its end when the faults have ceased."""

SPEC = """
name = "{study}"
objective = "tests.chaos.objective:objective"
direction = "maximize"
trials = {trials}
max_steps = {epochs}
seed = {seed}
[args]
epochs = {epochs}
seconds = {seconds}
folder = "{folder}"
[space]
x = {{ type = "float", low = 0.0, high = 1.0 }}
[pruner]
name = "median"
n_startup_trials = 5
n_warmup_steps = 3
[retry]
max_attempts = 1000    # no trial is to blame for what is done to it
"""


class Stuck(Exception):
    """The search did not go on after a fault, or did not come to its end."""


@dataclass(frozen=True)
class Plan:
    """Length of a soak and the search that it disturbs.

    Attributes:
        seconds: Time in which faults strike; afterwards the search runs to its end.
        trials, epochs, epoch_seconds: The search.
        pause: Seconds from a recovery to the next fault, on average.
        seed: Of the search and of the faults.
    """

    seconds: float
    trials: int
    epochs: int
    epoch_seconds: float
    pause: float
    seed: int


@dataclass
class SoakResult:
    """Result of a soak. ``recoveries`` holds seconds until the search went on, by fault."""

    account: Account
    recoveries: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0


def soak(plan: Plan, folder: Path, say: Callable[[str], None]) -> SoakResult:
    """Runs a soak in ``folder``, on servers of its own.

    Raises:
        Stuck: the search stood still.
    """
    redis = Redis(folder / "redis")
    postgresql = PostgreSQL(folder / "postgresql")
    stack = Stack(folder, redis, postgresql)
    begun = time.monotonic()
    try:
        redis.start()
        postgresql.start()
        stack.start_all()
        stack.submit(_write_spec(plan, folder))
        records = Records(postgresql.url, STUDY)
        try:
            recoveries = _strike(plan, stack, records, say)
            _see_end(stack, records, plan.trials, say)
            account = settle(records, plan.trials, plan.epochs, _reported(folder))
        finally:
            records.close()
    finally:
        stack.stop()
        redis.close()
        postgresql.close()
    return SoakResult(account, recoveries, time.monotonic() - begun)


def _strike(plan: Plan, stack: Stack, records: Records, say: Callable[[str], None]) -> dict[str, list[float]]:
    chance = random.Random(plan.seed)
    recoveries: dict[str, list[float]] = {}
    until = time.monotonic() + plan.seconds
    while time.monotonic() < until and len(records.ended) < plan.trials:
        _let_run(stack, records, chance.expovariate(1 / plan.pause))
        name = chance.choices(list(FAULTS), [weight for _, weight in FAULTS.values()])[0]
        blow = FAULTS[name][0](stack, records, chance)
        if blow is None:
            continue
        seconds = _recover(stack, records, blow, plan.trials)
        recoveries.setdefault(name, []).append(seconds)
        say(f"{len(records.ended):4}/{plan.trials} trials  {len(records.epochs):6} epochs  {name}: {seconds:.2f} s")
    return recoveries


def _let_run(stack: Stack, records: Records, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        stack.restart_ended()
        records.wait(left)


def _recover(stack: Stack, records: Records, blow: Blow, trials: int) -> float:
    """Waits until everything that was struck goes on; returns the seconds since the fault was over."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    waiting = list(blow.victims)
    while time.monotonic() < deadline:
        stack.restart_ended()
        waiting = [victim for victim in waiting if not _goes_on(records, victim.trial, victim.number)]
        at_work = records.last > blow.over or len(records.ended) == trials
        if not waiting and (blow.victims or at_work):
            return max(0.0, time.monotonic() - blow.over)
        records.wait(0.5)
    which = ", ".join(f"trial {victim.trial}" for victim in waiting) or "everything"
    raise Stuck(f"{which} stood still for {RECOVERY_SECONDS:g} s; the logs are in {stack.folder}")


def _goes_on(records: Records, trial: int, number: int) -> bool:
    live = records.live.get(trial)
    return trial in records.ended or (live is not None and live.number > number)


def _see_end(stack: Stack, records: Records, trials: int, say: Callable[[str], None]) -> None:
    deadline = time.monotonic() + END_SECONDS
    told = time.monotonic()
    while records.state != "finished" or len(records.ended) < trials or records.unsettled():
        if time.monotonic() > deadline or records.state in ("failed", "stopped"):
            raise Stuck(
                f"{len(records.ended)} of {trials} trials have ended, {len(records.unsettled())} attempts are underway "
                f"and the study is {records.state!r} {END_SECONDS:g} s after the last fault; "
                f"the logs are in {stack.folder}"
            )
        if time.monotonic() - told > 5:
            told = time.monotonic()
            say(f"{len(records.ended):4}/{trials} trials  {len(records.epochs):6} epochs  no more faults")
        stack.restart_ended()
        records.wait(0.5)


def _write_spec(plan: Plan, folder: Path) -> Path:
    spec = folder / "soak.toml"
    spec.write_text(
        SPEC.format(
            study=STUDY,
            trials=plan.trials,
            epochs=plan.epochs,
            seed=plan.seed,
            seconds=plan.epoch_seconds,
            folder=folder,
        )
    )
    return spec


def _reported(folder: Path) -> set[tuple[int, int]]:
    """Returns (trial, step) of every line that the objective has left."""
    found = set()
    for line in (folder / "reported.log").read_text().splitlines():
        trial, step = line.split()
        found.add((int(trial), int(step)))
    return found
