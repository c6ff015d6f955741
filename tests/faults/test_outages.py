"""What a server cannot do at the moment is waited for: one search goes through outages of both servers, one by one."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import redis
import sqlalchemy
from fleet import Fleet, Process, Servers, fleet
from fleet import wait_for as wait_long

from tests.servers import PostgreSQL, Redis, free_port

SPEC = """
name = "outages"
objective = "objectives:climbs"
trials = 4000
[args]
epochs = 8
saves = "never"
seconds = 0.05
folder = "{folder}"
[pruner]
name = "none"
"""
LIMIT = 60.0


def wait_for(condition: Callable[[], object], what: str) -> None:
    wait_long(condition, what, LIMIT)


CONNECTIONS = 14
"""As many as the database admits."""


@dataclass(eq=False)
class Place:
    """Both servers of a test, a control plane and a worker on them."""

    redis: Redis
    postgresql: PostgreSQL
    fleet: Fleet
    serve: Process
    worker: Process

    def admin(self, statement: str) -> None:
        """Runs a statement in the database of its owner, by a new connection."""
        with self.connection() as connection:
            connection.exec_driver_sql(statement)

    @contextlib.contextmanager
    def connection(self) -> Iterator[sqlalchemy.Connection]:
        url = sqlalchemy.make_url(self.postgresql.url).set(database="postgres")
        engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
        with engine.connect() as connection:
            yield connection

    def epochs(self) -> int:
        """Returns how many epochs are recorded."""
        engine = sqlalchemy.create_engine(self.postgresql.url, poolclass=sqlalchemy.NullPool)
        with engine.connect() as connection:
            found = connection.exec_driver_sql("SELECT count(*) FROM trial_intermediate_values").scalar()
        return int(found or 0)

    def goes_on(self) -> None:
        """Waits until something new is recorded."""
        before = self.epochs()
        wait_for(lambda: self.epochs() > before + 3, "the search does not go on\n" + self.fleet.logs())

    def said(self, process: Process, words: str) -> int:
        """Returns how often a process has said something."""
        return len(re.findall(words, process.log.read_text()))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("outages")
    with ExitStack() as stack:
        server = Redis(folder / "redis", "--lua-time-limit", "50")
        stack.callback(server.close)
        server.start()
        database = PostgreSQL(folder / "postgresql")
        stack.callback(database.close)
        database.start()
        engine = sqlalchemy.create_engine(database.url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(f"ALTER SYSTEM SET max_connections = {CONNECTIONS}")
        database.kill()
        database.start()
        running = stack.enter_context(fleet(Servers(server.url, database.url), folder))
        made = Place(server, database, running, running.start("serve"), running.start("worker", "--slots", "2"))
        running.submit(running.write_spec(SPEC.format(folder=folder)))
        made.goes_on()
        yield made


# -- outages: each is begun on entering, and over on leaving --------------------------------------------------------


@contextlib.contextmanager
def configured(place: Place, **options: str) -> Iterator[None]:
    with contextlib.closing(place.redis.client()) as client:
        before = {name: str(client.config_get(name)[name]) for name in options}
        for name, value in options.items():
            client.config_set(name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                client.config_set(name, value)


@contextlib.contextmanager
def demoted(place: Place) -> Iterator[None]:
    with contextlib.closing(place.redis.client()) as client:
        client.replicaof("127.0.0.1", str(free_port()))
        try:
            yield
        finally:
            client.replicaof("NO", "ONE")


@contextlib.contextmanager
def without_its_master(place: Place) -> Iterator[None]:
    with configured(place, **{"replica-serve-stale-data": "no"}), demoted(place):
        yield


@contextlib.contextmanager
def without_replicas(place: Place) -> Iterator[None]:
    with configured(place, **{"min-replicas-to-write": "1"}):
        yield


@contextlib.contextmanager
def unable_to_save(place: Place) -> Iterator[None]:
    """Its dump cannot take the place of a folder, as it could not be written to a full disk."""
    taken = place.redis.folder / "dump.rdb"
    taken.mkdir()
    with contextlib.closing(place.redis.client()) as client, configured(place, save="3600 100000"):
        client.bgsave()
        wait_for(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "the dump was written")
        yield
    taken.rmdir()


@contextlib.contextmanager
def busy(place: Place) -> Iterator[None]:
    def loop() -> None:
        with contextlib.closing(redis.Redis.from_url(place.redis.url)) as client, contextlib.suppress(redis.RedisError):
            client.eval("while true do end", 0)

    thread = threading.Thread(target=loop)
    thread.start()
    with contextlib.closing(place.redis.client()) as client:
        try:
            yield
        finally:
            client.script_kill()
            thread.join()


@contextlib.contextmanager
def out_of_clients(place: Place) -> Iterator[None]:
    with contextlib.closing(place.redis.client()) as client:
        before = str(client.config_get("maxclients")["maxclients"])
        client.config_set("maxclients", "1")
        for kind in ("normal", "pubsub"):
            client.client_kill_filter(_type=kind, skipme=True)
        try:
            yield
        finally:
            client.config_set("maxclients", before)


@contextlib.contextmanager
def read_only(place: Place) -> Iterator[None]:
    place.admin("ALTER SYSTEM SET default_transaction_read_only = on")
    place.admin("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        with place.connection() as connection:
            connection.exec_driver_sql("SET default_transaction_read_only = off")
            connection.exec_driver_sql("ALTER SYSTEM RESET default_transaction_read_only")
            connection.exec_driver_sql("SELECT pg_reload_conf()")


ALL = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
END_ALL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'optuna' AND pid <> pg_backend_pid()"


@contextlib.contextmanager
def ending_connections(place: Place) -> Iterator[None]:
    over = threading.Event()

    def end() -> None:
        with place.connection() as connection:
            while not over.wait(0.01):
                connection.exec_driver_sql(END_ALL)

    thread = threading.Thread(target=end)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def out_of_connections(place: Place) -> Iterator[None]:
    """Others take every connection, those of the control plane too."""
    over = threading.Event()

    def take(stack: ExitStack) -> None:
        while not over.wait(0.01):
            with contextlib.suppress(sqlalchemy.exc.OperationalError):
                while True:
                    stack.enter_context(place.connection())

    with place.connection() as admin, ExitStack() as stack:
        thread = threading.Thread(target=take, args=(stack,))
        thread.start()
        try:
            wait_for(lambda: len(admin.exec_driver_sql(ALL).fetchall()) >= CONNECTIONS - 1, "there is room")
            admin.exec_driver_sql(END_ALL)
            yield
        finally:
            over.set()
            thread.join()


Outage = Callable[[Place], contextlib.AbstractContextManager[None]]
OF_REDIS: dict[str, Outage] = {
    "READONLY": demoted,
    "MASTERDOWN": without_its_master,
    "NOREPLICAS": without_replicas,
    "MISCONF": unable_to_save,
    "BUSY": busy,
    "clients": out_of_clients,
}
OF_DATABASE: dict[str, Outage] = {
    "read-only": read_only,
    "terminating": ending_connections,
    "too many": out_of_connections,
}


@pytest.mark.parametrize("kind", [*OF_REDIS, *OF_DATABASE])
def test_an_outage_is_waited_for_and_said_in_two_lines(place: Place, kind: str) -> None:
    # Each process of the worker has lines of its own: two keepers, and the main process where it has asked for a task.
    speakers = [(place.serve, 1), (place.worker, 2)] if kind in OF_REDIS else [(place.serve, 1)]
    name = "redis" if kind in OF_REDIS else "the database"

    def lines(process: Process) -> tuple[int, int]:
        return place.said(process, f"{name} is not available"), place.said(process, f"{name} is back after")

    before = [lines(process) for process, _ in speakers]
    with (OF_REDIS | OF_DATABASE)[kind](place):
        for (process, count), (begun, _) in zip(speakers, before, strict=True):
            wait_for(lambda: lines(process)[0] >= begun + count, f"no word of it: {process.log.read_text()}")  # noqa: B023
    place.goes_on()
    for (process, count), (begun, _) in zip(speakers, before, strict=True):
        wait_for(lambda: len(set(lines(process))) == 1, f"no word of its end: {process.log}")  # noqa: B023
        # Between two connections that are ended, or taken by others, the database is there for moments.
        if kind not in ("terminating", "too many"):
            more = 1 if process is place.worker else 0
            assert begun + count <= lines(process)[0] <= begun + count + more, process.log.read_text()
    for process in (place.serve, place.worker):
        assert process.popen.poll() is None, process.log.read_text()
    said = place.fleet.logs()
    begin = said.find("Traceback")
    assert begin < 0, said[max(0, begin - 1000) : begin + 4000]
    assert "no sign of life" not in said


@pytest.mark.parametrize("outage", [without_replicas, read_only, ending_connections])
def test_a_control_plane_that_starts_meanwhile_waits(place: Place, outage: Outage) -> None:
    with outage(place):
        standby = place.fleet.start("serve")
        if outage is read_only:
            wait_for(lambda: place.said(standby, "the database is not available"), "it says nothing")
        else:
            wait_for(lambda: place.said(standby, "is not available|standing by"), "it says nothing")
    wait_for(lambda: place.said(standby, "standing by"), standby.log.read_text())
    assert standby.stop() == 0, standby.log.read_text()
    assert "Traceback" not in standby.log.read_text()
