"""A fleet is watched by Prometheus and logs in JSON: counts are the database's, lines say what they are about."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections import Counter
from typing import Any

import pytest
import sqlalchemy
from fleet import PATIENCE, Fleet, Servers, follow_to_end, real_servers_only, wait_for
from prometheus_client.parser import text_string_to_metric_families

from tests.servers import free_port

SPEC = """
name = "s"
objective = "objectives:eventful"
direction = "maximize"
trials = 8
max_steps = 4
seed = 3
queue = "watched"
[pruner]
name = "median"
n_startup_trials = 1
n_warmup_steps = 1
[space]
x = { type = "float", low = 0.0, high = 1.0 }
[retry]
max_attempts = 2
"""
PASSWORD = "hush"


def scrape(port: int, password: str = PASSWORD) -> dict[tuple[str, ...], float]:
    """Returns each sample by its name and the sorted values of its labels; none while the endpoint is down."""
    credentials = base64.b64encode(f"prometheus:{password}".encode()).decode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Basic {credentials}"}
    )
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
    except urllib.error.HTTPError:
        raise
    except OSError:
        return {}
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value for each in families for sample in each.samples
    }


def rows(servers: Servers, query: str) -> list[Any]:
    engine = sqlalchemy.create_engine(servers.storage_url)
    try:
        with engine.connect() as connection:
            return list(connection.exec_driver_sql(query))
    finally:
        engine.dispose()


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.strip()]


@real_servers_only
def test_what_is_shown_is_what_happened(running: Fleet, servers: Servers) -> None:
    environment = running.environment() | {
        "ORCHESTRATOR_METRICS_PASSWORD": PASSWORD,
        "ORCHESTRATOR_LOG_FORMAT": "json",
        # Long enough that no attempt is declared lost on a busy machine.
        "ORCHESTRATOR_LEASE": "30",
    }
    active, waiting, worker = free_port(), free_port(), free_port()
    serve = running.start("serve", "--metrics-port", str(active), environment=environment)
    wait_for(lambda: scrape(active).get(("orchestrator_leader",)) == 1, "the control plane is active")
    standby = running.start("serve", environment=environment | {"ORCHESTRATOR_METRICS_PORT": str(waiting)})
    wait_for(lambda: scrape(waiting).get(("orchestrator_leader",)) == 0, "the other one stands by")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        scrape(active, "guessed")

    running.submit(running.write_spec(SPEC))
    wait_for(lambda: scrape(active).get(("orchestrator_queue_length", "watched")) == 1, "a task waits")
    found = scrape(active)
    assert found["orchestrator_study_trials", "s", "waiting"] == 1
    assert found["orchestrator_study_budget_trials", "s"] == 8
    assert ("orchestrator_queue_length", "watched") not in scrape(waiting)

    arguments = ("--slots", "2", "--queues", "watched", "--metrics-port", str(worker))
    keepers = running.start("worker", *arguments, environment=environment)
    follow_to_end(servers.client(), "s")
    wait_for(lambda: not rows(servers, "SELECT 1 FROM orchestrator_attempts WHERE state = 'stopping'"), "all obeyed")
    wait_for(lambda: ("orchestrator_study_epochs", "s") not in scrape(active), "the study is let go of")
    wait_for(lambda: scrape(active)["orchestrator_slots", "idle"] == 2, "both slots are free")
    wait_for(lambda: scrape(worker)["orchestrator_worker_unconfirmed_events",] == 0, "everything is confirmed")

    found = scrape(active)
    trials = servers.study("s").trials
    attempts = rows(servers, "SELECT trial, number, latency, verdict, runner, gap FROM orchestrator_attempts")
    for state, count in Counter(trial.state.name for trial in trials).items():
        assert found["orchestrator_trials_ended_total", {"FAIL": "failed"}.get(state, state.lower())] == count
    assert found["orchestrator_trials_ended_total", "complete"] >= 1
    assert found["orchestrator_epochs_total",] == sum(len(trial.intermediate_values) for trial in trials)
    assert found["orchestrator_epochs_redone_total",] == rows(servers, "SELECT count(*) FROM orchestrator_redone")[0][0]
    decided = rows(servers, "SELECT rule, action, count(*) FROM orchestrator_decisions GROUP BY rule, action")
    assert [tuple(row) for row in decided] == [
        ("median", "prune", found["orchestrator_decisions_total", "median", "prune"])
    ]
    assert found["orchestrator_retries_total", "died"] == sum(row.number > 1 for row in attempts) == 1
    latencies = [row.latency for row in attempts if row.verdict == "pruned" and row.latency is not None]
    assert found["orchestrator_prune_latency_seconds_count",] == len(latencies) > 0
    assert found["orchestrator_slot_gap_seconds_count",] == sum(row.gap is not None for row in attempts)
    assert found["orchestrator_commit_events_sum",] <= found["orchestrator_events_total",]
    assert found["orchestrator_stream_lag_entries",] >= 0
    assert found["orchestrator_redis_up",] == 1

    found = scrape(worker)
    ended = {key[1]: value for key, value in found.items() if key[0] == "orchestrator_worker_attempts_total"}
    assert sum(ended.values()) == sum(bool(row.runner) for row in attempts)
    assert ended["stopped"] > 0
    assert found["orchestrator_worker_epochs_total",] >= sum(len(trial.intermediate_values) for trial in trials)
    assert found["orchestrator_worker_trainer_replacements_total",] >= 2
    assert found["orchestrator_worker_slots", "idle"] == 2

    for process in (keepers, standby, serve):
        assert process.stop() == 0
    check_control_lines(lines_of(serve.log.read_text()))
    check_worker_lines(lines_of(keepers.log.read_text()))
    assert next(line["action"] for line in lines_of(standby.log.read_text())) == "standby"


ABOUT_A_TRIAL = {"study", "trial", "attempt", "token"}


def check_control_lines(lines: list[dict[str, Any]]) -> None:
    assert {line["process"] for line in lines} == {"serve"}
    by_action: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        by_action.setdefault(line.get("action", ""), []).append(line)
    assert sorted(line["trial"] for line in by_action["trial_ended"]) == list(range(8))
    (again,) = by_action["attempted_again"]
    assert (again["study"], again["trial"], again["attempt"]) == ("s", 2, 2)
    for action in ("trial_ended", "attempted_again"):
        assert all(line.keys() >= ABOUT_A_TRIAL for line in by_action[action])
    for action in ("study_opened", "study_closed"):
        assert all(line["study"] == "s" for line in by_action[action])


def check_worker_lines(lines: list[dict[str, Any]]) -> None:
    assert {line["process"] for line in lines} == {"worker"}
    kept = [line for line in lines if line.get("action") == "artifact_not_kept"]
    assert [(line["study"], line["trial"], line["attempt"]) for line in kept] == [("s", 0, 1)]
    assert kept[0]["pid"] != lines[0]["pid"], "a keeper has said it"
    # Celery's own, of the main process and of a keeper's.
    for words in ("] received", "] succeeded in", "] raised unexpected"):
        about = [line for line in lines if words in line["message"].partition(":")[0]]
        assert about
        assert all(line.keys() >= ABOUT_A_TRIAL for line in about), words
        assert all(line["token"] in line["message"] for line in about)
    assert any("Warm shutdown" in line["message"] for line in lines)


def test_what_cannot_be_shown_is_refused_at_once(running_embedded: Fleet) -> None:
    open_to_all = running_embedded.environment() | {"ORCHESTRATOR_METRICS_ADDRESS": "0.0.0.0"}
    words = "ORCHESTRATOR_METRICS_ADDRESS: '0.0.0.0' can be reached from elsewhere, and there is no password"
    for command in (("serve", "--metrics-port", "9"), ("worker", "--slots", "1", "--metrics-port", "9")):
        process = running_embedded.start(*command, environment=open_to_all)
        assert process.popen.wait(PATIENCE) == 2
        assert words in process.log.read_text()
        assert len(process.log.read_text().splitlines()) == 1
