"""Causes for which a search stands still: `doctor` alone names each, and the command that it prints helps."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy
from fleet import PATIENCE, Fleet, Servers, fleet, wait_for
from fleet_servers import embedded_servers
from person import Person, leads
from small_disk import fill, small_disk

from tasks import redis_keys
from tasks.contract import VERSION
from tests import prepared_databases
from tests.servers import Redis

NEWER = VERSION + 1
KEYS = ["0123456789abcdef" * 4, "fedcba9876543210" * 4]


@pytest.fixture
def person(running_embedded: Fleet, tmp_path: Path) -> Person:
    return Person(running_embedded, tmp_path)


@pytest.fixture
def person_of_servers(tmp_path: Path) -> Iterator[Callable[[str, str], Person]]:
    """Makes a person of a fleet on servers that are named, as empty strings by embedded ones."""
    with contextlib.ExitStack() as stack:

        def make(redis_url: str, storage_url: str) -> Person:
            servers = stack.enter_context(contextmanager(embedded_servers)(tmp_path))
            servers = Servers(redis_url or servers.redis_url, storage_url or servers.storage_url)
            stack.callback(servers.close)
            return Person(stack.enter_context(fleet(servers, tmp_path)), tmp_path)

        yield make


# -- what costs no process, or one: a part of `make test` -------------------------------------------------------------


def test_a_lease_of_a_host_that_is_dead(person: Person) -> None:
    assert person.fleet.servers is not None
    engine = sqlalchemy.create_engine(person.fleet.servers.storage_url, poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        row = {"id": 1, "term": 4, "holder": "dead/0:17:42", "expires": time.time() + 600}
        connection.execute(sqlalchemy.text("DELETE FROM orchestrator_writer"))
        statement = "INSERT INTO orchestrator_writer (id, term, holder, expires) VALUES (:id, :term, :holder, :expires)"
        connection.execute(sqlalchemy.text(statement), row)
    finding = person.finds("control-plane-missing")
    assert "dead/0:17:42, has not renewed its lease" in finding["text"]
    pasted = person.is_helped("control-plane-missing")
    assert pasted is not None
    assert "writing in term 5" in pasted.log.read_text()


def test_a_control_plane_that_a_signal_has_stopped_and_one_with_another_clock(person: Person, tmp_path: Path) -> None:
    fleet = person.fleet
    (tmp_path / "clock").write_text("7230")
    environment = fleet.environment() | {"SETTABLE_CLOCK": str(tmp_path / "clock")}
    serve = leads(fleet.start("serve", environment=environment, program="settable_clock"))
    person.submits("study", "trials")
    finding = person.finds("clock-apart")
    assert finding["about"] == "the control plane"
    assert "2h 00m ahead of this host's" in finding["text"]
    assert finding["command"] == "timedatectl set-ntp true"

    os.kill(serve.pid, signal.SIGSTOP)
    finding = person.finds("control-plane-missing")
    assert f"a signal has stopped process {serve.pid}" in finding["text"]
    person.is_helped("control-plane-missing", lambda: "clock-apart" in person.doctor())

    serve.kill()
    leads(fleet.start("serve"))
    person.pastes("orchestrator pause study")
    assert "clock-apart" not in person.doctor()


def test_a_file_that_may_not_be_written(person_of_servers: Callable[[str, str], Person], tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=64m") as disk:
        person = person_of_servers("", prepared_databases.sqlite(disk / "studies.db"))
        assert "database-read-only" not in person.doctor()
        person.pastes(f"mount -o remount,ro {disk}")
        finding = person.finds("database-read-only")
        assert f"its disk {disk} is mounted read-only" in finding["text"]
        person.is_helped("database-read-only")


@pytest.mark.parametrize(
    ("options", "says"), [("size=64m,nr_inodes=60", "has no inode left"), ("size=8m", "0 MB are free on its disk")]
)
def test_a_folder_whose_disk_takes_no_more_files(person: Person, tmp_path: Path, options: str, says: str) -> None:
    with small_disk(tmp_path / "disk", options) as disk:
        data = {"ORCHESTRATOR_DATA_DIR": str(disk / "data")}
        (disk / "data").mkdir()
        filler = fill(disk, options)
        finding = person.finds("disk-full", data)
        assert says in finding["text"]
        person.pastes(finding["command"])
        for path in filler:
            path.unlink(missing_ok=True)
        assert says not in person.finds("disk-full", data)["text"], "it is a small disk"


@pytest.mark.parametrize("right", ["", "SELECT"])
def test_a_role_without_rights(person_of_servers: Callable[[str, str], Person], right: str) -> None:
    name, role = prepared_databases.postgresql(), f"weak_{secrets.token_hex(4)}"
    owner = sqlalchemy.create_engine(
        prepared_databases.url_of(name), isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool
    )
    with owner.connect() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN")
        if right:
            connection.exec_driver_sql(f"GRANT {right} ON ALL TABLES IN SCHEMA public TO {role}")
    try:
        url = sqlalchemy.make_url(prepared_databases.url_of(name)).set(username=role)
        person = person_of_servers("", url.render_as_string(hide_password=False))
        code = "database-read-only" if right else "database-unreachable"
        finding = person.finds(code)
        assert (f"role '{role}' may not write" if right else "lacks a right: permission denied") in finding["text"]
        person.is_helped(code)
        assert not person.doctor().keys() & {"database-read-only", "database-unreachable"}
        leads(person.fleet.start("serve"))
    finally:
        with owner.connect() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {role}")
            connection.exec_driver_sql(f"DROP ROLE {role}")
        person.fleet.close()
        prepared_databases.drop_database(name)


# -- with workers -----------------------------------------------------------------------------------------------------


def ends(person: Person, name: str = "study") -> None:
    (person.folder / "go").touch()
    wait_for(lambda: person.status(name)["state"] == "finished", f"the end of {name}")
    assert person.status(name)["complete"] == 4


def full_redis(person: Person) -> None:
    assert person.fleet.servers is not None
    leads(person.fleet.start("serve"))
    person.fleet.start("worker", "--slots", "1")
    person.submits("study", "trials")
    wait_for(lambda: person.trains("study"), "a trial trains")
    client = person.fleet.servers.client()
    client.set("filler", b"x" * (8 << 20))
    client.config_set("maxmemory", 8 << 20)
    found = person.doctor()
    assert "attempt-silent" not in found, "no slot is blamed"
    assert "no task is sent" in found["redis-memory"]["text"]
    if "workers-unknown" in found:
        assert "make room in Redis" in found["workers-unknown"]["remedy"]
    person.is_helped("redis-memory")


def dying_sampler(person: Person) -> None:
    leads(person.fleet.start("serve"))
    person.fleet.start("worker", "--slots", "1")
    deadly = person.folder / "deadly"
    deadly.touch()
    person.submits("study", "trials", **{"sampler.name": "dying_sampler:Dies", "sampler.deadly": str(deadly)})
    finding = person.finds("study-suspended")
    assert "dying_sampler:Dies" in finding["text"]
    deadly.unlink()
    person.is_helped("study-suspended")


def a_worker_of_another_version(person: Person) -> None:
    """It ends, and says why; what is left is that none answers."""
    leads(person.fleet.start("serve"))
    command = [sys.executable, "-m", "tests.at_version", str(NEWER), "worker", "--slots", "1"]
    newer = person.fleet.launch(command, "newer")
    assert newer.popen.wait(PATIENCE) == 2
    person.submits("study", "trials")
    finding = person.finds("worker-missing")
    assert "says why: another version, or another key" in finding["remedy"]
    person.is_helped("worker-missing", lambda: person.trains("study"))


def a_worker_with_another_clock(person: Person) -> None:
    leads(person.fleet.start("serve"))
    (person.folder / "clock").write_text("-7230")
    environment = person.fleet.environment() | {"SETTABLE_CLOCK": str(person.folder / "clock"), "TZ": "Asia/Tokyo"}
    wrong = person.fleet.launch(
        [sys.executable, "-m", "settable_clock", "worker", "--slots", "1", "--name", "w"], "wrong", environment
    )
    finding = person.finds("clock-apart")
    assert finding["about"].startswith("worker w@")
    assert "2h 00m behind this host's" in finding["text"]
    # Stands in for the command of NTP, which sets that host's clock.
    wrong.stop()
    person.fleet.start("worker", "--slots", "1", environment=person.fleet.environment() | {"TZ": "Asia/Tokyo"})
    wait_for(lambda: "worker-missing" not in person.doctor(), "another one is there")
    assert "clock-apart" not in person.doctor(), "a zone is no clock"
    person.submits("study", "trials")


def a_control_plane_of_an_earlier_version(person: Person) -> None:
    """What workers that are ahead of it report is set aside, and so is what the later version has sent."""
    newer = [sys.executable, "-m", "tests.at_version", str(NEWER)]
    first = leads(person.fleet.launch([*newer, "serve"], "newer"))
    ahead = person.fleet.launch([*newer, "worker", "--slots", "1"], "ahead")
    person.submits("study", "trials")
    wait_for(lambda: person.trains("study"), "a trial trains")
    first.stop()
    leads(person.fleet.start("serve"))
    finding = person.finds("protocol-version")
    assert f"speaks protocol version {NEWER}, this installation version {VERSION}" in finding["text"]
    assert "and restart them" in finding["remedy"]
    ahead.stop()
    person.fleet.start("worker", "--slots", "1")
    (person.folder / "go").touch()
    wait_for(lambda: "protocol-version" not in person.doctor(), "all speak one version")


def keys_of_a_worker(person: Person) -> None:
    mine, other = ({"ORCHESTRATOR_SIGNING_KEY": key} for key in KEYS)
    leads(person.fleet.start("serve", environment=person.fleet.environment() | mine))
    wrong = person.fleet.start("worker", "--slots", "1", environment=person.fleet.environment() | other)
    person.submits("study", "trials")
    assert "signed with no key that is known here" in person.finds("keys-differ", mine)["text"]
    wrong.stop()
    person.fleet.start("worker", "--slots", "1", environment=person.fleet.environment() | mine)
    wait_for(lambda: "keys-differ" not in person.doctor(mine), "all have the same keys")


def keys_of_the_control_plane(person: Person) -> None:
    mine, other = ({"ORCHESTRATOR_SIGNING_KEY": key} for key in KEYS)
    wrong = leads(person.fleet.start("serve", environment=person.fleet.environment() | other))
    person.fleet.start("worker", "--slots", "1", environment=person.fleet.environment() | mine)
    person.submits("study", "trials")
    assert "what the control plane sends is signed with no key" in person.finds("keys-differ", mine)["text"]
    assert person.fleet.servers is not None
    client = person.fleet.servers.client()
    before = client.get(redis_keys.ANNOUNCEMENT)
    wrong.stop()
    leads(person.fleet.start("serve", environment=person.fleet.environment() | mine))
    wait_for(lambda: client.get(redis_keys.ANNOUNCEMENT) != before, "it has announced itself")
    person.fleet.start("worker", "--slots", "1", environment=person.fleet.environment() | mine)
    wait_for(lambda: person.trains("study"), "a trial trains")


def code_that_is_sent(person: Person) -> None:
    leads(person.fleet.start("serve"))
    person.fleet.start(
        "worker", "--slots", "1", environment=person.fleet.environment() | {"ORCHESTRATOR_OBJECTIVES": "*"}
    )
    package = person.folder / "src" / "mine"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("def train(trial):\n    return 1.0\n")
    spec = 'name = "study"\nobjective = "mine:train"\ntrials = 4\n[code]\ninclude = ["src/mine"]\n'
    person.fleet.submit(person.fleet.write_spec(spec))
    finding = person.finds("study-failed")
    assert finding["command"] == "ORCHESTRATOR_OBJECTIVES='*,bundle:*' orchestrator worker"
    for each in person.fleet.processes[1:2]:
        each.stop()
    person.pastes(finding["command"])
    spec = spec.replace("trials = 4", "trials = 5")
    person.fleet.submit(person.fleet.write_spec(spec))
    wait_for(lambda: person.status("study")["state"] == "finished", "the end of the study")


def a_fleet_that_drains(person: Person) -> None:
    leads(person.fleet.start("serve"))
    person.fleet.start("worker", "--slots", "1", "--name", "w", "--queues", "gpu")
    person.submits("study", "gpu")
    wait_for(lambda: person.trains("study"), "a trial trains")
    person.pastes("orchestrator workers drain w")
    finding = person.finds("worker-draining")
    assert "no other worker trains for study" in finding["text"]
    assert finding["severity"] == "problem"
    person.pastes(finding["command"])
    wait_for(lambda: person.doctor()["worker-draining"]["severity"] == "note", "another one serves the queue")


def a_trimmed_stream(person: Person) -> None:
    assert person.fleet.servers is not None
    serve = leads(person.fleet.start("serve"))
    person.fleet.start("worker", "--slots", "1")
    person.submits("study", "trials")
    wait_for(lambda: person.trains("study"), "a trial trains")
    serve.kill()
    (person.folder / "go").touch()
    client = person.fleet.servers.client()
    wait_for(lambda: client.xlen(redis_keys.EVENTS) > 4, "what is reported waits")
    client.xtrim(redis_keys.EVENTS, maxlen=0)
    person.is_helped("control-plane-missing")


CAUSES = [
    full_redis,
    dying_sampler,
    a_worker_of_another_version,
    a_worker_with_another_clock,
    a_control_plane_of_an_earlier_version,
    keys_of_a_worker,
    keys_of_the_control_plane,
    code_that_is_sent,
    a_fleet_that_drains,
    a_trimmed_stream,
]


@pytest.mark.long
@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.__name__)
def test_a_search_that_stands_still(
    cause: Callable[[Person], None], person_of_servers: Callable[[str, str], Person], tmp_path: Path
) -> None:
    redis = Redis(tmp_path / "redis")
    redis.start()
    try:
        person = person_of_servers(redis.url, "")
        cause(person)
        if cause is not code_that_is_sent:
            ends(person)
    finally:
        redis.close()
