"""A person with a stuck search finds the cause with `doctor` alone, and the command that it prints helps."""

from __future__ import annotations

import json
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from fleet import ROOT, Fleet, wait_for
from person import Person, leads

from orchestrator.doctor.checks.redis import REDIS_CLI

PROGRAM = """
name = "program"
trials = 20
queue = "programs"
[command]
run = ["python", "-c", "print('value=1.0')"]
metrics = {{ value = 'value=([\\d.]+)' }}
[space]
x = {{ type = "float", low = 0.0, high = 1.0 }}
"""
DATABASES = ROOT / "tests" / "contract" / "databases"


@pytest.fixture
def person(running_embedded: Fleet, tmp_path: Path) -> Person:
    return Person(running_embedded, tmp_path)


@pytest.mark.long
def test_workers_control_plane_and_slots(person: Person) -> None:
    fleet = person.fleet
    leader = leads(fleet.start("serve"))
    person.submits("first", "gpu", weight=10.0)
    # No worker at all, and the study is on a queue of its own.
    person.is_helped("worker-missing", lambda: person.trains("first"))
    # Workers, and none of them serves the queue.
    person.submits("second", "cpu")
    person.is_helped("queue-unserved", lambda: person.trains("second"))
    # No control plane.
    leader.kill()
    leads_again = person.is_helped("control-plane-missing")
    assert leads_again is not None
    leads(leads_again)
    # All slots have another study.
    slots = len(person.status("first")["slots"])
    person.submits("third", "gpu", weight=0.1)
    wait_for(lambda: person.status("third")["waiting"] > 0, "a trial that waits")
    finding = person.finds("study-outrun")
    assert f"{slots} slot" in finding["text"]
    assert "train first (weight 10); its own weight is 0.1" in finding["text"]
    person.pastes(finding["command"])
    assert person.status("first")["state"] == "paused"
    # A study that a person has paused, and forgotten.
    person.is_helped("study-held", lambda: person.status("first")["state"] == "running")
    # A shell, or a fleet, with another key.
    finding = person.finds("keys-differ", {"ORCHESTRATOR_SIGNING_KEY": secrets.token_hex(32)})
    assert "the same keys" in finding["remedy"]
    assert "keys-differ" not in person.doctor()
    # A Redis that throws away what is in it.
    assert fleet.servers is not None
    client = fleet.servers.client()
    client.config_set("maxmemory-policy", "allkeys-lru")
    person.is_helped("redis-eviction")
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    (person.folder / "go").touch()


def test_what_workers_refuse(person: Person) -> None:
    fleet = person.fleet
    (person.folder / "go").touch()
    leads(fleet.start("serve"))
    picky = fleet.environment() | {"ORCHESTRATOR_OBJECTIVES": "odd_objectives"}
    refusing = fleet.start("worker", "--queues", "gpu,programs", "--slots", "1", "--name", "picky", environment=picky)
    person.submits("admitted", "gpu")
    fleet.submit(fleet.write_spec(PROGRAM.format(), "program.toml"))
    for name in ("admitted", "program"):
        wait_for(lambda name=name: person.status(name)["state"] == "failed", f"the failure of {name}")  # type: ignore[misc]
    found = {
        each["about"]: each["command"]
        for each in json.loads(fleet.call("doctor", "--json").stdout)["findings"]
        if each["code"] == "study-failed"
    }
    assert found["study admitted"].startswith("ORCHESTRATOR_OBJECTIVES=odd_objectives,objectives orchestrator worker")
    refusing.stop()
    for name in ("admitted", "program"):
        person.pastes(found[f"study {name}"])
        fleet.submit(fleet.folder / f"{name}.toml")
        wait_for(lambda name=name: person.status(name)["complete"] > 0, f"a trial of {name}", 60.0)  # type: ignore[misc]


def test_servers(person: Person, tmp_path: Path) -> None:
    assert person.fleet.servers is not None
    url = person.fleet.servers.redis_url
    for wrong, words in (
        (url.replace(":", "://x", 1).replace("://x//", "://:not-it@", 1), "assword"),
        ("redis://127.0.0.1:1/0", "refused"),
    ):
        finding = person.finds("redis-unreachable", {"ORCHESTRATOR_REDIS_URL": wrong})
        assert words in finding["text"]
        assert finding["command"] == f"{REDIS_CLI} PING"
    # Tables that an earlier version has made.
    path = tmp_path / "older.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((DATABASES / "0003-sqlite.sql").read_text())
    older = {"ORCHESTRATOR_STORAGE_URL": f"sqlite:///{path}"}
    person.pastes(person.finds("tables-version", older)["command"], older)
    assert "tables-version" not in person.doctor(older)
