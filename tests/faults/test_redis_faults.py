"""Whatever happens to Redis, or on the way to it, no epoch is lost and no trial runs twice."""

from __future__ import annotations

import contextlib
import time

from tests.faults.cluster import LEASE, Cluster, eventually
from tests.servers import Redis


def test_connections_that_are_killed_again_and_again_run_nothing_twice(cluster: Cluster) -> None:
    search = cluster.submit("killed-connections")
    search.underway()
    with contextlib.closing(cluster.redis.client()) as client:
        for _ in range(12):
            client.client_kill_filter(_type="normal", skipme=True)
            client.client_kill_filter(_type="pubsub", skipme=True)
            time.sleep(0.2)
    account = search.balance()
    assert account.attempts == search.trials
    assert set(search.reports().values()) == {1}, "an epoch was trained twice"


def test_a_task_that_the_broker_has_lost_is_sent_again(cluster: Cluster) -> None:
    search = cluster.submit("lost-tasks", trials=10, epochs=24)
    search.underway()
    lost = 0
    with contextlib.closing(cluster.redis.client()) as client:
        while not lost:
            lost = client.delete(*[f"trials{suffix}" for suffix in ("", "\x06\x163", "\x06\x166", "\x06\x169")])
    search.balance()


def test_an_append_only_file_without_its_end_loses_nothing(cluster: Cluster) -> None:
    search = cluster.submit("cut-file")
    search.underway()
    cluster.redis.kill()
    file = max((cluster.redis.folder / "appendonlydir").glob("*.incr.aof"))
    with file.open("r+b") as written:
        written.truncate(file.stat().st_size * 3 // 4)
    cluster.redis.start()
    search.balance()


def test_redis_away_for_several_leases_is_waited_for(cluster: Cluster) -> None:
    search = cluster.submit("away")
    search.underway()
    cluster.redis.kill()
    reports = sum(search.reports().values())
    time.sleep(3 * LEASE)
    assert sum(search.reports().values()) > reports + 20, "training did not go on"
    cluster.redis.start()
    account = search.balance()
    assert account.attempts == search.trials, "an attempt was declared lost while Redis was unreachable"


def test_a_full_redis_holds_everything_up_and_loses_nothing(cluster: Cluster) -> None:
    search = cluster.submit("full")
    search.underway()
    with contextlib.closing(cluster.redis.client()) as client:
        client.config_set("maxmemory", 1)
        time.sleep(3 * LEASE)
        client.config_set("maxmemory", 0)
    assert "redis is full (maxmemory)" in cluster.log(cluster.leader())
    account = search.balance()
    assert account.attempts == search.trials, "an attempt was declared lost while Redis was unreachable"


def test_connections_that_carry_nothing_any_more_are_given_up(cluster: Cluster) -> None:
    search = cluster.submit("black-hole", epochs=24)
    search.underway()
    cluster.to_serve.swallow()
    cluster.to_worker.swallow()
    search.goes_on()
    search.balance()


def test_a_failover_that_loses_what_was_written_loses_no_epoch(cluster: Cluster) -> None:
    replica = Redis(cluster.folder / "replica", "--replicaof", "127.0.0.1", str(cluster.redis.port))
    replica.start()
    with contextlib.closing(replica.client()) as client:
        # Before the search begins: the first copy takes a server five seconds and more.
        eventually(lambda: client.info("replication")["master_link_status"] == "up", "the replica follows")
        search = cluster.submit("failover", trials=12, epochs=24)
        search.underway()
        client.replicaof("NO", "ONE")
        # The old master goes on accepting writes that are lost.
        recorded = len(search.records.epochs)
        search.until(lambda: len(search.records.epochs) > recorded)
        cluster.to_serve.turn_to(replica.port)
        cluster.to_worker.turn_to(replica.port)
        search.balance()
    cluster.to_serve.turn_to(cluster.redis.port)
    cluster.to_worker.turn_to(cluster.redis.port)
    replica.close()


def test_malformed_and_foreign_events_are_kept_aside_and_the_rest_is_recorded(cluster: Cluster) -> None:
    search = cluster.submit("litter")
    search.underway()
    with contextlib.closing(cluster.redis.client()) as client:
        for count in range(200):
            client.xadd("orchestrator:events", {"e": bytes([0xC1, count])})
        client.xadd("orchestrator:events", {"something": "else"})
        search.balance()
        assert client.xlen("orchestrator:dead") == 201


def test_a_stop_that_was_decided_while_its_worker_was_cut_off_reaches_it(cluster: Cluster) -> None:
    search = cluster.submit("cut-off", trials=4, epochs=20_000)
    search.underway()
    cluster.to_worker.cut()
    assert cluster.orchestrator("stop", "cut-off").returncode == 0
    search.until(lambda: len(search.records.ended) >= 2)
    reports = len(search.reports())
    search.until(lambda: len(search.reports()) > reports)
    assert search.trains()
    cluster.to_worker.turn_to(cluster.redis.port)
    search.until(lambda: all(state in ("done", "lost") for _, state, _ in search.records.attempts()))
    # A trial that was stopped and goes on would do so for longer than anything is waited for.
    search.until(lambda: not search.trains())
    assert search.records.state == "stopped"
    search.records.close()
