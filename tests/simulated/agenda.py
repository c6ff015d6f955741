"""Schedules without a process: real beats, a real folder and the real control plane; servers and time in memory."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.common.clock import Clock
from orchestrator.model.attribute_keys import FLAGGED
from orchestrator.model.planned_run import OPERATION, PlannedRun, order
from orchestrator.schedule.folder import Folder
from orchestrator.schedule.ticker import Ticker
from orchestrator.spec import Spec, load
from orchestrator.spec.cron import run_name
from orchestrator.spec.model import validate
from tests.simulated.course import Course, Objective, Talk, learning
from tests.simulated.ledger import Ledger
from tests.simulated.memory_calendar import MemoryDesk
from tests.simulated.simulation import Simulation

RING = {b"ring": b"orchestrator:doorbell"}
SPEC = """
name = "{name}"
objective = "somewhere:objective"
trials = {trials}
{extra}
[space]
x = {{ type = "float", low = 0.0, high = 1.0 }}
[schedule]
cron = "{cron}"
{schedule}
"""


class Agenda:
    """A folder of specs, beats that look at it, and a control plane with one slot.

    Args:
        folder: Of the specs; empty.
        begin: When it begins, in UTC.
        objective: What the slot runs.
    """

    def __init__(self, folder: Path, begin: str, objective: Objective = learning) -> None:
        self.folder = folder
        # Its search is never made; it says which queue is worked off.
        anything = validate({"name": "none", "objective": "somewhere:objective", "trials": 1}, "test")
        self.world = Simulation(anything, objective, created=False)
        self.world.now = at(begin)
        self.world.start()
        self.beats: list[Ticker] = []
        self.desks: list[MemoryDesk] = []
        self.working = True

    # -- what people do

    def write(
        self,
        name: str = "nightly",
        cron: str = "0 2 * * *",
        *,
        file: str = "",
        trials: int = 1,
        extra: str = "",
        **options: Any,
    ) -> Path:
        """Writes a spec; ``options`` are keys of its [schedule]."""
        lines = "\n".join(f"{key} = {_toml(value)}" for key, value in options.items())
        path = self.folder / (file or f"{name}.toml")
        path.write_text(SPEC.format(name=name, trials=trials, extra=extra, cron=cron, schedule=lines))
        return path

    def run_now(self, name: str = "nightly") -> str:
        """As `orchestrator schedule run` does; returns the study's name."""
        spec, second = self.spec(name), int(self.world.now)
        study = run_name(name, second)
        self.world.database.issue(f"by-hand-{second}", OPERATION, study, order(spec, second, manual=True))
        self.world.redis.add(RING)
        self.settle()
        return study

    def spec(self, name: str = "nightly") -> Spec:
        return load(self.folder / f"{name}.toml")

    # -- what happens

    def start_beat(self, ahead: float = 0.0) -> Ticker:
        """Starts a beat whose clock is so many seconds ahead."""
        clock = Clock(lambda: self.world.now + ahead)
        desk = MemoryDesk(self.world.database, lambda: self.world.now)
        self.desks.append(desk)
        self.beats.append(Ticker(Folder(self.folder), desk, lambda: self.world.redis.add(RING) and None, clock))
        return self.beats[-1]

    def go_to(self, moment: str, step: float = 20.0) -> None:
        """Lets time pass, with a tick of every beat each ``step`` seconds."""
        while self.world.now < at(moment):
            self.world.now = min(self.world.now + step, at(moment))
            for beat in self.beats:
                beat.tick()
            self.settle()

    def settle(self) -> None:
        """Lets control plane and slot do what there is to do, without any time passing."""
        for _ in range(1_000):
            answered = self.world.sampler_has_answered
            done = self.world.round()
            spoke = self.working and any(self.world.turn(slot) for slot in self.world.slots)
            idle = not answered and not done and not spoke and not self.world.sampler_has_answered
            if idle and not self.world.round():
                return
        raise AssertionError("there is no end to it")

    def restart_control_plane(self) -> None:
        self.world.start()

    # -- what came of it

    @property
    def slots(self) -> list[PlannedRun]:
        return sorted(self.world.database.slots.values(), key=lambda slot: slot.planned)

    @property
    def states(self) -> list[tuple[str, str]]:
        """The slots by their time, each with its state."""
        return [(f"{datetime.fromtimestamp(slot.planned, UTC):%d %H:%M}", slot.state) for slot in self.slots]

    @property
    def studies(self) -> Mapping[str, Ledger]:
        return self.world.database.ledgers

    @property
    def names(self) -> list[str]:
        """Of the studies."""
        return sorted(self.studies)

    @property
    def flags(self) -> list[str | None]:
        """What the studies say of being worse than the last one, as JSON."""
        return [ledger.study_user_attrs.get(FLAGGED) for ledger in self.studies.values()]


def valued(*values: float) -> Objective:
    """The trials of all studies have these values, in turn."""
    left = list(values)

    def objective(course: Course) -> Talk:
        yield from course.float("x")
        return left.pop(0)

    return objective


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
