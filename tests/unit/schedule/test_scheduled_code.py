"""A beat sends the code that a scheduled spec includes, as it is when the run is due."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from orchestrator.common.clock import Clock
from orchestrator.common.settings import Settings
from orchestrator.model.commands import Command
from orchestrator.model.planned_run import OPERATION, ScheduleProgress
from orchestrator.schedule.folder import Folder, Schedule
from orchestrator.schedule.ticker import Ticker
from orchestrator.spec import Spec
from orchestrator.spec.carried_code import with_included
from tasks.code_bundle import unpack

MIDNIGHT = 1_780_012_800
SPEC = """
name = "nightly"
objective = "mine:objective"
trials = 1
[code]
include = ["mine.py"]
[schedule]
cron = "* * * * *"
"""


class Orders:
    """The database as a beat uses it: nothing is known of any schedule."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.issued: list[Command] = []

    def known(self, names: list[str]) -> tuple[float, dict[str, ScheduleProgress]]:
        del names
        return self._clock.wall(), {}

    def issue(self, commands: list[Command]) -> None:
        self.issued += [each for each in commands if each.operation == OPERATION]


def carry(schedule: Schedule) -> Spec:
    return with_included(schedule.spec, schedule.path.parent, [schedule.path.parent], Settings())


def test_each_run_has_the_code_of_its_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "nightly.toml").write_text(SPEC)
    now = [float(MIDNIGHT)]
    clock = Clock(wall=lambda: now[0])
    orders = Orders(clock)
    ticker = Ticker(Folder(tmp_path), orders, lambda: None, clock, carry=carry)
    ticker.tick()
    contents = []
    for minute in (1, 2):
        (tmp_path / "mine.py").write_text(f"MINUTE = {minute}\n")
        now[0] = MIDNIGHT + 60 * minute + 1
        ticker.tick()
        spec = Spec.from_json(orders.issued[-1].payload["spec"])
        assert spec.code is not None
        bundle = unpack(spec.code.carried()[0], spec.code.bundle)
        contents.append([file.data for file in bundle.files])
    assert contents == [[b"MINUTE = 1\n"], [b"MINUTE = 2\n"]]

    # What cannot be carried is said once, and tried again.
    (tmp_path / "mine.py").unlink()
    for second in (1, 2, 3):
        now[0] = MIDNIGHT + 180 + second
        ticker.tick()
    assert len(orders.issued) == 2
    refused = [each.getMessage() for each in caplog.records if getattr(each, "action", "") == "schedule_refused"]
    (line,) = refused
    assert line.startswith("schedule nightly is not run: code.include: there is no 'mine.py' in ")
    (tmp_path / "mine.py").write_text("MINUTE = 3\n")
    now[0] += 1
    ticker.tick()
    assert len(orders.issued) == 3
