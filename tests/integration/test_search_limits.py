"""Limits of a search and its priority, on a fleet: a target, a timeout that nothing else announces, who goes first."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from fleet import Fleet, follow_to_end, notices, real_servers_only, wait_for

from orchestrator.messaging.dispatch import queue_lengths
from orchestrator.model.progress_events import Progress

STEADY = """
name = "{name}"
objective = "objectives:steady"
direction = "maximize"
trials = {trials}
lookahead = {trials}
pruner.name = "none"
seed = 3
{more}
[args]
epochs = 2
"""
WAITS = """
name = "waits"
objective = "objectives:waits"
trials = 20
timeout = 0.5
[args]
folder = "."
"""


def test_a_run_ends_at_its_target_and_says_so(alone: Fleet) -> None:
    alone.write_spec(STEADY.format(name="found", trials=50, more="target = 0.5"))
    done = alone.call("run", "spec.toml", "--slots", "1", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    best = result["best"]
    assert best["value"] >= 0.5
    assert result["reason"] == f"target is reached: {best['value']:g} by trial {best['number']}"
    assert result["trials"]["complete"] == best["number"] + 1


@real_servers_only
def test_a_timeout_starts_nothing_more_and_lets_what_runs_end(running: Fleet) -> None:
    assert running.servers is not None
    client = running.servers.client()
    running.start("serve")
    running.start("worker", "--slots", "2")
    running.submit(running.write_spec(WAITS))
    for notice in notices(client, "waits"):
        # Its trials wait for a file, so that no event says what time it is.
        if isinstance(notice, Progress) and notice.state == "ending":
            break
    (running.folder / "go").touch()
    end = follow_to_end(client, "waits")
    assert (end.state, end.reason) == ("finished", "timeout is reached: 0.5 s since the first trial began")
    assert end.complete == 2

    added = running.call("enqueue", "waits", "x=0.1")
    assert added.returncode == 0, added.stderr
    assert "it has reached a limit of its spec: raise that" in added.stderr


@real_servers_only
def test_the_search_of_the_higher_priority_goes_first(running: Fleet) -> None:
    assert running.servers is not None
    client = running.servers.client()
    running.start("serve")
    for name, priority in (("low", 0), ("usual", 5), ("high", 8)):
        text = STEADY.format(name=name, trials=3, more=f"priority = {priority}")
        running.submit(running.write_spec(text, f"{name}.toml"))
    wait_for(lambda: queue_lengths(client, ["trials"])["trials"] == 9, "all tasks wait")
    running.start("worker", "--slots", "1")
    begun = []
    for name in ("low", "usual", "high"):
        follow_to_end(client, name)
        begun += [(trial.datetime_start, name) for trial in running.servers.study(name).trials]
    assert [name for _, name in sorted(begun)] == ["high"] * 3 + ["usual"] * 3 + ["low"] * 3


@real_servers_only
def test_searches_that_share_a_queue_begin_trials_in_proportion_to_their_weights(running: Fleet) -> None:
    assert running.servers is not None
    running.start("serve")
    names = {"single": 1.0, "double": 2.0, "late": 1.0}
    running.start("worker", "--slots", "2")
    for name, weight in names.items():
        text = STEADY.format(name=name, trials=30, more=f"weight = {weight}").replace("lookahead = 30", "lookahead = 6")
        running.submit(running.write_spec(text, f"{name}.toml"))
    follow_to_end(running.servers.client(), "double")
    follow_to_end(running.servers.client(), "single")
    begun = sorted(
        (trial.datetime_start, name)
        for name in names
        for trial in running.servers.study(name).trials
        if trial.datetime_start
    )
    began = [name for _, name in begun]
    # While all three have trials left. What waited with the broker when the others came was sent before its turn.
    since = max(began.index(name) for name in names) + 7
    until = len(began) - began[::-1].index("double")
    counts = Counter(began[since:until])
    assert counts["double"] == pytest.approx(counts["single"] + counts["late"], abs=4), began
    assert counts["single"] == pytest.approx(counts["late"], abs=3), began
