"""Two real beats and a real control plane, on a night on which the clocks change, by a clock that the test drives."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy
from fleet import PATIENCE, Fleet, Process, fleet, wait_for
from fleet_servers import real_servers
from settable_clock import SettableClock

SPEC = """
name = "{name}"
objective = "objectives:steady"
trials = 1
seed = 1
[args]
epochs = 1
[schedule]
cron = "{cron}"
timezone = "Europe/Berlin"
{more}
"""
BEGIN = "2025-10-25T23:58:00"
"""Two minutes to two at night; at three it becomes two o'clock again."""


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    with contextlib.contextmanager(real_servers)() as servers, fleet(servers, tmp_path) as it:
        yield Night(it)


class Night:
    """The processes, their clock, and the database."""

    def __init__(self, it: Fleet) -> None:
        self.fleet = it
        assert it.servers is not None
        self.engine = sqlalchemy.create_engine(it.servers.storage_url, poolclass=sqlalchemy.NullPool)
        self.studies = it.folder / "studies"
        self.studies.mkdir()
        self.clock = SettableClock(it.folder / "clock")
        self.go_to(BEGIN)

    def go_to(self, moment: str) -> None:
        self.clock.set(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp())

    def start(self, *arguments: str) -> Process:
        environment = self.fleet.environment() | {"SETTABLE_CLOCK": str(self.clock.path)}
        return self.fleet.start(*arguments, environment=environment, program="settable_clock")

    def start_beat(self) -> Process:
        beat = self.start("beat", str(self.studies))
        wait_for(lambda: "schedule hourly" in beat.log.read_text(), "the beat has looked at the folder")
        return beat

    def write(self, name: str, cron: str, more: str = "") -> Path:
        path = self.studies / f"{name}.toml"
        path.write_text(SPEC.format(name=name, cron=cron, more=more))
        return path

    def slots(self, schedule: str) -> list[tuple[str, str]]:
        query = "SELECT study, state FROM orchestrator_slots WHERE schedule = %s ORDER BY planned"
        with self.engine.connect() as connection:
            found = connection.exec_driver_sql(query, (schedule,)).all()
        return [(row.study.removeprefix(f"{schedule}-20251"), row.state) for row in found]

    def wait_for_slots(self, schedule: str, *slots: str) -> None:
        expected = [(slot, "ended") for slot in slots]
        wait_for(lambda: self.slots(schedule) == expected, f"the runs of {schedule}: {expected}")

    def trials_by_study(self) -> dict[str, list[str]]:
        query = "SELECT study_name, state FROM studies JOIN trials USING (study_id) ORDER BY study_name"
        found: dict[str, list[str]] = {}
        with self.engine.connect() as connection:
            for row in connection.exec_driver_sql(query):
                found.setdefault(row.study_name, []).append(row.state)
        return found


def test_two_beats_in_the_night_on_which_an_hour_comes_twice(night: Night) -> None:
    night.write("hourly", "0 * * * *", 'catch_up = "all"')
    half_past_two = night.write("half-past-two", "30 2 * * *", "report = true")
    serve = night.start("serve")
    night.fleet.start("worker", "--slots", "1")
    first, second = night.start_beat(), night.start_beat()

    night.go_to("2025-10-26T00:00:00")
    night.wait_for_slots("hourly", "026T000000Z")
    night.go_to("2025-10-26T00:30:00")
    wait_for(lambda: night.slots("half-past-two"), "half past two, the first time")
    night.go_to("2025-10-26T01:00:00")
    night.wait_for_slots("hourly", "026T000000Z", "026T010000Z")
    night.go_to("2025-10-26T01:30:00")

    # No beat runs for three slots, one beat was killed, and the control plane dies when the slots are made up for.
    first.kill()
    assert second.stop() == 0
    night.go_to("2025-10-26T04:10:00")
    (night.studies / "broken.toml").write_text("name = 'broken'")
    serve.kill()
    beats = night.start_beat(), night.start_beat()
    serve = night.start("serve")
    wait_for(lambda: len(night.slots("hourly")) > 2, "they are being made up for")
    serve.kill()
    night.start("serve")
    hours = [f"026T0{hour}0000Z" for hour in range(5)]
    night.wait_for_slots("hourly", *hours)
    night.wait_for_slots("half-past-two", "026T003000Z")

    names = [f"hourly-20251{hour}" for hour in hours]
    assert night.trials_by_study() == {"half-past-two-20251026T003000Z": ["COMPLETE"]} | {
        name: ["COMPLETE"] for name in names
    }
    report = night.fleet.folder / "data" / "reports" / "half-past-two-20251026T003000Z" / "report.html"
    assert report.is_file()

    # What a person sees, and does.
    for beat in beats:
        wait_for(
            lambda beat=beat: "broken.toml: objective: required key missing" in beat.log.read_text(), "it is named"
        )
    half_past_two.unlink()
    wait_for(lambda: "schedule half-past-two is gone" in beats[0].log.read_text(), "it is gone")
    listed = json.loads(night.fleet.call("schedule", "--json").stdout)
    assert [each["name"] for each in listed["schedules"]] == ["hourly"]
    assert [run["study"] for run in listed["schedules"][0]["runs"]] == names[::-1]
    (problem,) = (each["problem"] for each in listed["problems"])
    assert problem.startswith("studies/broken.toml: objective: required key missing; ")
    done = night.fleet.call("schedule", "run", "hourly")
    assert done.returncode == 0, done.stderr
    assert night.trials_by_study().keys() >= {done.stdout.strip()}
    unknown = night.fleet.call("schedule", "run", "hourl")
    assert unknown.returncode == 2
    assert unknown.stderr.splitlines()[-1].endswith("did you mean 'hourly'?")
    assert [beat.stop(signum) for beat, signum in zip(beats, (signal.SIGTERM, signal.SIGINT), strict=True)] == [0, 0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("beat",), "studies: cannot be read: No such file or directory; name the folder of the specs"),
        (("schedule", "--studies", "nowhere"), "nowhere: cannot be read: No such file or directory"),
        (("schedule", "run", "x", "--studies", "nowhere"), "nowhere: cannot be read: No such file or directory"),
    ],
)
def test_what_cannot_be_looked_at(alone: Fleet, arguments: tuple[str, ...], said: str) -> None:
    environment = {"ORCHESTRATOR_REDIS_URL": "redis://127.0.0.1:1/0", "ORCHESTRATOR_STORAGE_URL": "sqlite:///x.db"}
    process = alone.start(*arguments, environment=alone.environment() | environment)
    assert process.popen.wait(PATIENCE) == 2
    assert process.log.read_text().count("\n") == 1
    assert said in process.log.read_text()
    assert not (alone.folder / "x.db").exists()
