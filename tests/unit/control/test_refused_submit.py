"""A submit that is refused leaves nothing behind."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

from orchestrator.control.replica_processes import ReplicaProcesses
from orchestrator.spec.model import validate
from tasks import redis_keys
from tests.simulated.course import learning
from tests.simulated.simulation import Simulation

SEARCH: dict[str, Any] = {"name": "study", "objective": "x:y", "trials": 1}
OWN = {"objective": "x:z", "pruner": {"name": "tests.simulated.own_pruners:Median"}}
PATIENCE = 60.0


def test_the_process_that_has_checked_its_classes_is_ended() -> None:
    world = Simulation(validate(SEARCH, "spec"), learning).run_to_end()
    bell = threading.Event()
    others = set(threading.enumerate())
    replicas = ReplicaProcesses(bell.set)
    assert world.controller is not None
    world.controller.commands.ports = replace(world.controller.ports, replicas=replicas)
    world.database.issue("key", "submit", "study", validate(SEARCH | OWN, "spec").to_json())
    try:
        while not world.redis.answers["key"]:
            bell.clear()
            world.redis.add({b"ring": redis_keys.DOORBELL.encode()})
            world.round()
            assert world.redis.answers["key"] or bell.wait(PATIENCE)
        assert "was started as another search" in world.redis.answers["key"][0]
        assert not [thread for thread in set(threading.enumerate()) - others if thread.name == "replicas"]
    finally:
        replicas.close()
