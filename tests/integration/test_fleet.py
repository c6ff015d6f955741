"""``serve``, ``worker`` and ``submit`` as separate processes, on both kinds of servers."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import sqlalchemy
from fleet import (
    ROOT,
    Fleet,
    command_line,
    descendants,
    environment_of,
    follow_to_end,
    notices,
    real_servers_only,
    wait_for,
)
from optuna.trial import TrialState

from orchestrator.model.progress_events import Progress
from orchestrator.queries.readonly import open_study_reader

SPEC = """
name = "steady"
objective = "objectives:steady"
direction = "maximize"
trials = 14
max_steps = 6
seed = 11
[pruner]
name = "median"
n_startup_trials = 2
"""


def test_a_search_over_separate_processes_is_a_plain_optuna_study(running: Fleet) -> None:
    assert running.servers is not None
    running.start("serve")
    running.start("worker", "--slots", "2")
    assert running.submit(running.write_spec(SPEC)) == "steady"

    end = follow_to_end(running.servers.client(), "steady")

    assert (end.state, end.reason) == ("finished", ""), running.logs()
    study = running.servers.study("steady")
    trials = study.trials
    assert [trial.number for trial in trials] == list(range(14))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    for trial in trials:
        assert set(trial.params) == {"x", "kind"}
        assert trial.datetime_start is not None
        assert trial.datetime_complete is not None
        assert trial.datetime_start <= trial.datetime_complete
        steps = list(trial.intermediate_values)
        assert steps == list(range(1, len(steps) + 1))
        expected = [trial.params["x"] * step + 0.01 * (trial.params["kind"] == "fancy") for step in steps]
        assert list(trial.intermediate_values.values()) == expected
        if trial.state is TrialState.COMPLETE:
            assert len(steps) == 6
            assert trial.value == expected[-1]
        else:
            decision = trial.user_attrs["pruned_by"]
            assert decision["rule"] == "median"
            assert decision["step"] == steps[-1]
            assert decision["value"] < decision["threshold"]
            assert decision["peers"] >= 2
            assert trial.value == expected[-1]
    assert study.best_value == max(t.value for t in trials if t.state is TrialState.COMPLETE and t.value)


def test_asha_works_in_stopping_form(running_embedded: Fleet) -> None:
    assert running_embedded.servers is not None
    running_embedded.start("serve")
    running_embedded.start("worker", "--slots", "2")
    spec = SPEC.replace(
        'name = "median"\nn_startup_trials = 2', 'name = "asha"\nmin_resource = 1\nreduction_factor = 2'
    )
    running_embedded.submit(running_embedded.write_spec(spec))

    follow_to_end(running_embedded.servers.client(), "steady")

    trials = running_embedded.servers.study("steady").trials
    pruned = [trial for trial in trials if trial.state is TrialState.PRUNED]
    assert len(trials) == 14
    assert pruned
    for trial in pruned:
        assert trial.user_attrs["pruned_by"]["rule"] == "asha"
        assert trial.user_attrs["pruned_by"]["step"] in (1, 2, 4)
        assert "completed_rung_0" in trial.system_attrs

    silent = spec[: spec.index("[pruner]")].replace("trials = 14", "trials = 15")
    running_embedded.submit(running_embedded.write_spec(silent))
    with open_study_reader(running_embedded.servers.storage_url) as reader:
        assert (reader.spec("steady").trials, reader.spec("steady").pruner.name) == (15, "asha")


def test_failures_of_every_kind_are_kept_and_the_search_goes_on(running_embedded: Fleet) -> None:
    assert running_embedded.servers is not None
    running_embedded.start("serve")
    running_embedded.start("worker", "--slots", "1")
    running_embedded.submit(
        running_embedded.write_spec(
            'name = "some"\nobjective = "objectives:sometimes"\ntrials = 9\nseed = 1\n[retry]\nmax_attempts = 2\n'
        )
    )

    end = follow_to_end(running_embedded.servers.client(), "some")

    assert end.state == "finished", running_embedded.logs()
    trials = running_embedded.servers.study("some").trials
    assert [trial.number for trial in trials if trial.state is TrialState.FAIL] == [1, 3, 5, 7]
    failures = {number: trials[number].user_attrs["failure"] for number in (1, 3, 5, 7)}
    assert failures[1]["error"] == "RuntimeError"
    assert failures[1]["message"] == "it broke"
    assert "objectives.py" in failures[1]["traceback"]
    assert "nan" in failures[3]["message"]
    assert failures[5]["cause"] == "died"
    assert failures[5]["exit_code"] == 3
    assert "2 attempts" in failures[5]["message"]
    assert "None" in failures[7]["message"]
    assert all(math.isnan(trial.intermediate_values[1]) for trial in trials)
    best = min((t.value, t.number) for t in trials if t.value is not None)
    assert end.best is not None
    assert (end.best.value, end.best.number) == best


@real_servers_only
def test_workers_know_no_database_and_trainers_know_no_server(running: Fleet, tmp_path: Path) -> None:
    servers = running.servers
    assert servers is not None
    running.start("serve")
    worker = running.start_fresh("worker", "--slots", "2")
    running.submit(
        running.write_spec(f'name = "w"\nobjective = "objectives:waits"\ntrials = 2\n[args]\nfolder = "{tmp_path}"\n')
    )
    for notice in notices(servers.client(), "w"):
        if isinstance(notice, Progress) and notice.running == 2 and all(line.epochs for line in notice.slots):
            break

    family = [worker.pid, *descendants(worker.pid)]
    trainers = [pid for pid in family if "tasks.trainer" in command_line(pid)]
    assert len(trainers) == 2
    assert len(family) >= 5
    database = servers.storage_url.rpartition("/")[2]
    port = sqlalchemy.make_url(servers.storage_url).port or 5432
    for pid in family:
        environment = environment_of(pid)
        if environment is None:
            assert pid not in trainers
            continue
        assert b"ORCHESTRATOR_STORAGE_URL" not in environment
        assert database.encode() not in environment
        assert not any("studies.db" in target for target in _open_files(pid))
        assert port not in _remote_ports(pid)
        assert "sqlalchemy/engine" not in Path(f"/proc/{pid}/maps").read_text() or pid in trainers
    for pid in trainers:
        environment = environment_of(pid)
        assert environment is not None
        assert b"redis://" not in environment
        assert b"_URL=" not in environment
        assert not _remote_ports(pid)
    (tmp_path / "go").touch()
    follow_to_end(servers.client(), "w")


@real_servers_only
def test_a_second_control_plane_stands_by_and_takes_over(running: Fleet, tmp_path: Path) -> None:
    servers = running.servers
    assert servers is not None
    first = running.start("serve")
    wait_for(lambda: "writing in term" in first.log.read_text(), "the first one leads")
    second = running.start("serve")
    wait_for(lambda: "standing by" in second.log.read_text(), "the second one stands by")
    running.start("worker", "--slots", "1")
    running.submit(
        running.write_spec(f'name = "w"\nobjective = "objectives:waits"\ntrials = 3\n[args]\nfolder = "{tmp_path}"\n')
    )
    for notice in notices(servers.client(), "w"):
        if isinstance(notice, Progress) and notice.running == 1:
            break
    first.kill()
    wait_for(lambda: "writing in term" in second.log.read_text(), "the second one leads")
    (tmp_path / "go").touch()

    assert follow_to_end(servers.client(), "w").complete == 3, [trial.user_attrs for trial in servers.study("w").trials]


def _open_files(pid: int) -> list[str]:
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(link.readlink()))
        except OSError:
            continue
    return found


def _remote_ports(pid: int) -> set[int]:
    """Returns the remote ports of the process's TCP connections."""
    inodes = {name[8:-1] for name in _open_files(pid) if name.startswith("socket:[")}
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes:
                ports.add(int(fields[2].rpartition(":")[2], 16))
    return ports - {0}


def test_the_output_of_trials_lands_in_their_logs(running_embedded: Fleet, tmp_path: Path) -> None:
    assert running_embedded.servers is not None
    (tmp_path / "talker.py").write_text(
        "import os, sys\n"
        "def objective(trial):\n"
        "    print('hello from', trial.number)\n"
        "    sys.stderr.write('and an aside\\n')\n"
        "    os.system('echo a child speaks')\n"
        "    return 0.0\n"
    )
    environment = running_embedded.environment() | {"PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))}
    running_embedded.start("serve")
    running_embedded.start("worker", "--slots", "1", environment=environment)
    done = running_embedded.write_spec('name = "talk"\nobjective = "talker:objective"\ntrials = 2\n')
    running_embedded.submit(done)
    follow_to_end(running_embedded.servers.client(), "talk")

    log = tmp_path / "data" / "logs" / "studies" / "talk" / "trial-00001.log"
    assert log.read_text().splitlines() == ["a child speaks", "hello from 1", "and an aside"] or set(
        log.read_text().splitlines()
    ) == {"hello from 1", "and an aside", "a child speaks"}
    assert json.dumps("hello from 0") not in log.read_text()
