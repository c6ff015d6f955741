"""A study whose own pruner class hangs is suspended, and a study beside it notices nothing."""

from __future__ import annotations

import json

from fleet import Fleet, follow_to_end, real_servers_only, wait_for

SPEC = """
name = "{name}"
objective = "objectives:{objective}"
trials = 6
seed = 1
[pruner]
name = "{pruner}"
"""


@real_servers_only
def test_a_study_whose_own_pruner_hangs_is_suspended_alone(running: Fleet) -> None:
    serve = running.start("serve")
    running.start("worker", "--slots", "2")
    hanging = SPEC.format(name="hanging", objective="steady", pruner="own_pruner:Hangs")
    running.submit(running.write_spec(hanging, "hanging.toml"))
    assert running.servers is not None
    healthy = SPEC.format(name="healthy", objective="steady", pruner="median")
    running.submit(running.write_spec(healthy, "healthy.toml"))

    end = follow_to_end(running.servers.client(), "healthy")
    assert end.complete + end.pruned == 6

    def status() -> str:
        return running.call("status", "hanging").stdout

    wait_for(lambda: "suspended" in status(), "the study is suspended")
    shown = status()
    assert "own_pruner:Hangs did not answer within 10 s" in " ".join(shown.split())
    assert "orchestrator resume hanging" in " ".join(shown.split())
    found = json.loads(running.call("ls", "--json").stdout)
    states = {each["study"]: each["state"] for each in found}
    assert states == {"hanging": "suspended", "healthy": "finished"}
    assert serve.popen.poll() is None
