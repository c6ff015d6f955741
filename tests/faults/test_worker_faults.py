"""Whatever of a worker dies, stands still, or is wrong about the time, its trials go on and nothing of it is left."""

from __future__ import annotations

import os
import signal

import pytest

from tasks.app import create_app
from tests.faults.cluster import PATIENCE, Cluster, alive, descendants, eventually, signal_all


def keeper_of(trainer: int) -> int:
    with open(f"/proc/{trainer}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("PPid:"))


def test_a_host_that_is_gone_costs_a_lease(cluster: Cluster) -> None:
    search = cluster.submit("host", epochs=24)
    search.underway()
    search.victim("worker-a")
    main = cluster.stack.running["worker-a"].pid
    gone = [main, *descendants(main)]
    signal_all(gone, signal.SIGKILL)
    account = search.balance()
    assert account.attempts > search.trials
    assert not any(map(alive, gone))


def test_a_worker_that_stood_still_too_long_is_fenced_and_learns_it(cluster: Cluster) -> None:
    search = cluster.submit("zombie", trials=6, epochs=60)
    search.underway()
    search.victim("worker-a")
    main = cluster.stack.running["worker-a"].pid
    frozen = [main, *descendants(main)]
    signal_all(frozen, signal.SIGSTOP)
    victims = search.training("worker-a")
    search.until(lambda: all(search.records.is_over(victim) for victim in victims))
    signal_all(frozen, signal.SIGCONT)
    account = search.balance()
    assert account.attempts > search.trials
    eventually(lambda: not any(alive(victim.pid) and training(victim.pid) for victim in victims), "a zombie trains on")


def training(pid: int) -> bool:
    """A trainer that waits for its next trial is welcome to live."""
    try:
        return "reported.log" in str([os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")])
    except OSError:
        return False


@pytest.mark.parametrize("order", ["main keeper trainer", "trainer keeper main", "keeper trainer main"])
def test_nothing_is_left_of_a_worker_whatever_dies_first(cluster: Cluster, order: str) -> None:
    search = cluster.submit("order-" + order.replace(" ", "-"), trials=6, epochs=24)
    search.underway(4)
    victim = search.victim("worker-a")
    main = cluster.stack.running["worker-a"].pid
    pids = {"main": main, "keeper": keeper_of(victim.pid), "trainer": victim.pid}
    group = [main, *descendants(main)]
    signal_all([pids[name] for name in order.split()], signal.SIGKILL)
    eventually(lambda: not any(map(alive, group)), "something of the worker is left")
    account = search.balance()
    assert account.attempts > search.trials


def test_a_checkpoint_that_was_spoilt_is_passed_over(cluster: Cluster) -> None:
    search = cluster.submit("spoilt", trials=2, epochs=60)
    folder = cluster.folder / "data" / "checkpoints"
    search.underway(2)
    victim = search.victim()
    search.until(lambda: sum(row.trial == victim.trial for row in search.records.epochs.values()) > 20)
    files = sorted(folder.glob(f"*/{victim.trial:05}/*.pt"), key=lambda file: file.stat().st_mtime)
    assert files
    files[-1].write_bytes(b"not a checkpoint")
    os.kill(victim.pid, signal.SIGKILL)
    account = search.balance()
    assert account.causes["finished"] == 2


def test_a_worker_whose_clock_is_an_hour_ahead_is_not_taken_for_dead(cluster: Cluster) -> None:
    folder = cluster.folder / "ahead"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import time\nreal = time.time\ntime.time = lambda: real() + 3600\n",
    )
    path = cluster.stack.environment["PYTHONPATH"]
    cluster.stack.extra["worker-b"] = {"PYTHONPATH": f"{folder}:{path}"}
    cluster.stack.signal("worker-b", signal.SIGTERM)
    cluster.stack.running["worker-b"].wait(PATIENCE)
    cluster.stack.start("worker-b")
    search = cluster.submit("clock", epochs=24)
    search.underway()
    search.victim("worker-b")
    account = search.balance()
    assert account.attempts == search.trials, "an attempt was declared lost because of the worker's clock"
    del cluster.stack.extra["worker-b"]


def test_a_task_revoked_through_celery_counts_as_a_users_stop(cluster: Cluster) -> None:
    search = cluster.submit("revoked", trials=6, epochs=40)
    # The trials stand still, so that the rows are true until both tasks are revoked.
    search.ready()
    victim = search.victim()
    with cluster.stack.database() as connection:
        tokens = {
            row.state: row.token
            for row in connection.exec_driver_sql(
                "SELECT state, token FROM orchestrator_attempts a JOIN studies s USING (study_id)"
                f" WHERE study_name = 'revoked' AND (trial = {victim.trial} OR state = 'sent')"
            )
        }
    app = create_app(cluster.redis.url)
    for token in tokens.values():
        # With the signal that Flower asks for, at which a keeper would hand its trial back.
        app.control.revoke(token, terminate=True, signal="SIGTERM")
    app.close()
    search.until(search.records.failures)
    search.let_go()
    search.until(lambda: len(search.records.ended) == 6 and search.records.state == "finished")
    attempts, failures = search.records.attempts(), search.records.failures()
    search.records.close()
    assert "running" in tokens
    assert len(failures) == len(tokens)
    assert all("revoked" in how for _, how in failures), failures
    assert len(attempts) == 6, "what a person has stopped was tried again"
