"""Whatever happens to control planes and to their database, there is one writer, and what it decides happens once."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from orchestrator.control.ports import Phase
from orchestrator.storage.database import Database
from tests import preloaded
from tests.chaos.stack import CONTROL_PLANES
from tests.faults.cluster import LEASE, PATIENCE, ROOT, Cluster
from tests.shared_servers import redis_url

STEPS = [step for step in Phase if step not in (Phase.ANSWERED, Phase.REVOKED)]
"""Of those two there may be none in time; simulations have them. Where each epoch begins with a question, there is each
of the others as long as the search goes on, and it goes on only as long as a control plane answers."""


def other(name: str) -> str:
    return next(each for each in CONTROL_PLANES if each != name)


def test_of_two_control_planes_one_writes_and_one_waits(cluster: Cluster) -> None:
    search = cluster.submit("one-writer", trials=2, epochs=4)
    search.balance()
    said = [cluster.log(name) for name in CONTROL_PLANES]
    assert sorted("writing in term" in text for text in said) == [False, True]
    assert sorted("standing by" in text for text in said) == [False, True]


def test_a_control_plane_that_stood_still_has_lost_its_right(cluster: Cluster) -> None:
    search = cluster.submit("frozen")
    search.underway()
    leader = cluster.leader()
    cluster.stack.signal(leader, signal.SIGSTOP)
    search.until(lambda: cluster.leader() == other(leader))
    search.goes_on()
    said = len(cluster.log(leader))
    cluster.stack.signal(leader, signal.SIGCONT)
    search.until(lambda: "standing by" in cluster.log(leader)[said:])
    search.balance()


def test_a_database_that_restarts_is_waited_for(cluster: Cluster) -> None:
    search = cluster.submit("restarted", epochs=80)
    for _ in range(3):
        search.underway()
        cluster.postgresql.kill()
        cluster.postgresql.start()
        search.goes_on()
    account = search.balance()
    assert account.attempts == search.trials
    assert "Traceback" not in cluster.log(CONTROL_PLANES[0]) + cluster.log(CONTROL_PLANES[1])


def test_while_the_database_is_away_training_goes_on_and_no_attempt_is_lost(cluster: Cluster) -> None:
    search = cluster.submit("no-database", epochs=60)
    search.underway()
    cluster.postgresql.kill()
    reports = sum(search.reports().values())
    time.sleep(3 * LEASE)
    assert sum(search.reports().values()) > reports + 20, "training did not go on"
    cluster.postgresql.start()
    account = search.balance()
    assert account.attempts == search.trials, "an attempt was declared lost while the database was away"


def test_a_control_plane_killed_at_one_step_after_the_other_changes_nothing(cluster: Cluster) -> None:
    search = cluster.submit("killed-at-steps", trials=30, epochs=20, looks=True)
    search.ready()
    stand_down(cluster)
    search.let_go()
    try:
        for step in STEPS:
            dying = dying_serve(cluster, step, 1, signal.SIGKILL)
            try:
                assert dying.wait(PATIENCE) == -signal.SIGKILL
            finally:
                dying.kill()
    finally:
        for name in CONTROL_PLANES:
            cluster.stack.start(name)
    account = search.balance()
    assert account.attempts == search.trials
    assert set(search.reports().values()) == {1}, "a trial ran twice"


def test_a_writer_that_stands_still_before_it_commits_writes_nothing_any_more(cluster: Cluster) -> None:
    search = cluster.submit("mid-batch", trials=10, epochs=24, looks=True)
    search.ready()
    stand_down(cluster)
    search.let_go()
    frozen = dying_serve(cluster, Phase.DECIDED, 3, signal.SIGSTOP)
    try:
        search.until(lambda: state_of(frozen.pid) == "T")
        for name in CONTROL_PLANES:
            cluster.stack.start(name)
        search.until(lambda: cluster.leader() in CONTROL_PLANES)
        said = len(cluster.log("serve-dying"))
        frozen.send_signal(signal.SIGCONT)
        # It was refused, or the new leader ended its connection.
        search.until(lambda: "standing by" in cluster.log("serve-dying")[said:])
        search.balance()
        assert cluster.leader() in CONTROL_PLANES
    finally:
        frozen.kill()
        frozen.wait()


def stand_down(cluster: Cluster) -> None:
    """Ends every control plane, so that none leads."""
    for name in CONTROL_PLANES:
        cluster.stack.signal(name, signal.SIGTERM)
    for name in CONTROL_PLANES:
        cluster.stack.running.pop(name).wait(PATIENCE)


def dying_serve(cluster: Cluster, step: Phase, nth: int, number: signal.Signals) -> preloaded.Process:
    with (cluster.folder / "serve-dying.log").open("ab") as log:
        return preloaded.start(
            [step, str(nth), number.name],
            environment=cluster.stack.environment_of("serve-dying"),
            folder=ROOT,
            stdout=log,
            stderr=log,
            program="tests.faults.dying_serve",
        )


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize(
    ("whose", "remedy"),
    [
        ("a newer version", "install that version of trial-orchestrator"),
        ("an older optuna", "optuna storage upgrade --storage sqlite:///"),
        ("a newer optuna", "install that version of trial-orchestrator, and its Optuna"),
    ],
)
def test_a_database_of_another_version_is_refused(tmp_path: Path, whose: str, remedy: str) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    database = Database(url)
    database.prepare()
    with database.write() as connection:
        if whose == "a newer version":
            connection.exec_driver_sql("UPDATE orchestrator_alembic_version SET version_num = '9999'")
        else:
            version = "v3.0.0.d" if whose == "an older optuna" else "v99.0.0.a"
            connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{version}'")
    database.close()
    environment = {"PATH": "/usr/bin", "ORCHESTRATOR_STORAGE_URL": url, "ORCHESTRATOR_REDIS_URL": redis_url()}
    done = preloaded.run("serve", environment=environment, folder=ROOT, seconds=PATIENCE)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "version" in done.stderr
    assert remedy in done.stderr
