"""A worker whose disk is full takes no trials and says so; a trial that says nothing any more is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fleet import Fleet, fleet, follow_to_end, wait_for
from fleet_servers import embedded_servers
from small_disk import fill, small_disk

from orchestrator.queries.readonly import open_study_reader

SPEC = """
name = "{name}"
objective = "objectives:steady"
direction = "maximize"
trials = 40
pruner.name = "none"
[args]
epochs = 20
seconds = 0.02
[retry]
max_attempts = 1
"""


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("room")
    with contextmanager(embedded_servers)(folder) as servers, fleet(servers, folder) as made:
        serve = made.start("serve")
        # Before that, who submits may meet tables that are being made.
        wait_for(lambda: "writing in term" in serve.log.read_text(), "the control plane is there")
        yield made


@pytest.mark.parametrize("options", ["size=16m", pytest.param("size=64m,nr_inodes=60", marks=pytest.mark.long)])
def test_a_host_without_room_takes_no_trials_until_there_is_some(it: Fleet, tmp_path: Path, options: str) -> None:
    assert it.servers is not None
    name = f"room-{len(options)}"
    with small_disk(tmp_path / "disk", options) as disk:
        environment = it.environment() | {"ORCHESTRATOR_DATA_DIR": str(disk / "data")}
        worker = it.start("worker", "--slots", "2", "--name", name, environment=environment)
        wait_for(lambda: " ready." in worker.log.read_text(), "the worker is there")
        it.submit(it.write_spec(SPEC.format(name=name), f"{name}.toml"))
        study = it.servers.study(name)
        wait_for(lambda: any(trial.state.is_finished() for trial in study.get_trials()), "one has ended")
        filler = fill(disk, options)
        wait_for(lambda: "this host can train nothing for now" in worker.log.read_text(), "it is noticed")
        found = json.loads(it.call("doctor", "--json").stdout)
        # It looks, and finds none, before there is some again.
        for path in filler:
            path.unlink(missing_ok=True)

        end = follow_to_end(it.servers.client(), name)

        assert (end.state, end.complete) == ("finished", 40), it.logs()
        assert "there is room again" in worker.log.read_text()
        assert any(each["code"] == "host-without-room" for each in found["findings"]), found
        with open_study_reader(it.servers.storage_url) as history:
            causes = [[row.cause for row in history.trial(name, str(number)).attempts] for number in range(40)]
        assert all(set(each[:-1]) <= {"released"} and each[-1] == "finished" for each in causes), causes
        assert any(len(each) > 1 for each in causes)
        assert max(map(len, causes)) < 5, "it took trials again and again"
        worker.stop()


def test_a_trial_that_says_nothing_any_more_is_shown(it: Fleet, tmp_path: Path) -> None:
    assert it.servers is not None
    gate = tmp_path / "gate"
    spec = SPEC.format(name="worker.log").replace("trials = 40", "trials = 1")
    spec = spec.replace("epochs = 20", f'epochs = 20\ngate = "{gate}"')
    # A study that is called like the log of a process runs, too.
    it.start("worker", "--slots", "1", "--name", "quiet")
    it.submit(it.write_spec(spec, "quiet.toml"))
    wait_for(lambda: "last report" in it.call("status", "worker.log").stdout, "it is shown")
    shown = json.loads(it.call("status", "worker.log", "--json").stdout)["slots"][0]
    assert shown["silent"] > 10 > 20 * shown["pace"]
    found = json.loads(it.call("doctor", "--json").stdout)["findings"]
    assert any(each["code"] == "trial-silent" and "usually every" in each["text"] for each in found), found
    gate.touch()
    assert follow_to_end(it.servers.client(), "worker.log").complete == 1
