"""What is lost on the way costs time and nothing else."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
from pathlib import Path

import pytest
from fleet import (
    PATIENCE,
    Fleet,
    Pause,
    Process,
    Servers,
    command_line,
    descendants,
    follow_to_end,
    notices,
    real_servers_only,
    wait_for,
)
from optuna.trial import TrialState

from orchestrator.common.settings import without_secrets
from orchestrator.model.progress_events import Progress
from orchestrator.queries.readonly import open_study_reader
from tasks.app import STOP_SIGNAL, create_app

LEASE = 2.0

SPEC = """
name = "s"
objective = "objectives:steady"
direction = "maximize"
trials = 10
max_steps = 30
pruner.name = "none"
seed = 2
[args]
epochs = 30
seconds = 0.02
"""


def wait_for_epochs(servers: Servers, count: int) -> None:
    for notice in notices(servers.client(), "s"):
        if isinstance(notice, Progress) and notice.epochs >= count:
            return


def trainer_of(worker: Process) -> int:
    """Waits for a worker's trainer, which starts after the worker says that it is ready; returns its process id."""
    found: list[int] = []

    def look() -> bool:
        found[:] = [pid for pid in descendants(worker.pid) if "tasks.trainer" in command_line(pid)]
        return bool(found)

    wait_for(look, "the worker has a trainer")
    return found[0]


def keeper_of(worker: Process) -> int:
    return int(Path(f"/proc/{trainer_of(worker)}/stat").read_text().rpartition(")")[2].split()[1])


def is_pending(pid: int, number: int) -> bool:
    """Whether a process that stands still has a signal to hear when it goes on."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    masks = [int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd", "ShdPnd"))]
    return any(mask >> number - 1 & 1 for mask in masks)


def check_all_there(servers: Servers) -> None:
    trials = servers.study("s").get_trials()
    assert len(trials) == 10
    for trial in trials:
        assert trial.state is TrialState.COMPLETE, trial
        assert list(trial.intermediate_values) == list(range(1, 31))


@pytest.mark.parametrize("victim", ["trainer", "keeper", "worker"])
def test_a_trial_goes_on_after_its_trainer_keeper_or_worker_is_killed(running_embedded: Fleet, victim: str) -> None:
    servers = running_embedded.servers
    assert servers is not None
    running_embedded.start("serve")
    worker = running_embedded.start("worker", "--slots", "1", "--name", "first")
    running_embedded.submit(running_embedded.write_spec(SPEC))
    wait_for_epochs(servers, 40)
    family = [worker.pid, *descendants(worker.pid)]
    victims = {"trainer": trainer_of(worker), "keeper": keeper_of(worker), "worker": worker.pid}
    os.kill(victims[victim], signal.SIGKILL)
    if victim == "worker":
        worker.popen.wait()
        wait_for(lambda: not any("tasks." in command_line(pid) for pid in family), "all of its family is gone", 5)
        running_embedded.start("worker", "--slots", "1", "--name", "second")

    end = follow_to_end(servers.client(), "s")

    assert (end.state, end.complete) == ("finished", 10), running_embedded.logs()
    check_all_there(servers)


def test_a_keeper_that_is_killed_after_it_obeyed_a_stop_has_not_been_revoked(
    running_embedded: Fleet, tmp_path: Path
) -> None:
    """To Celery, a process that was once told to stop a task and dies in a later one has obeyed late.

    What its trial had started is ended by the keeper that takes its place.
    """
    servers = running_embedded.servers
    assert servers is not None
    running_embedded.start("serve")
    worker = running_embedded.start("worker", "--slots", "1")
    running_embedded.submit(
        running_embedded.write_spec(
            'name = "s"\nobjective = "objectives:waits"\ntrials = 3\n[space]\n'
            'x = { type = "float", low = 0.0, high = 1.0 }\n'
            f'[args]\nfolder = "{tmp_path}"\nhelped = true\n'
        )
    )
    wait_for_epochs(servers, 1)
    with open_study_reader(servers.storage_url) as history:
        token = history.trial("s", "0").attempts[0].token
    create_app(servers.redis_url).control.revoke(token, terminate=True, signal="SIGUSR2")
    wait_for_epochs(servers, 2)
    helper = int((tmp_path / "1.helper").read_text())
    assert "sleep" in command_line(helper)
    os.kill(keeper_of(worker), signal.SIGKILL)
    wait_for(lambda: "sleep" not in command_line(helper), "the helper of its trial is gone")
    (tmp_path / "go").touch()

    end = follow_to_end(servers.client(), "s")

    assert (end.state, end.failed) == ("finished", 1), running_embedded.logs()
    failed = [trial for trial in servers.study("s").get_trials() if trial.state is TrialState.FAIL]
    assert [trial.user_attrs["failure"]["cause"] for trial in failed] == ["revoked"]


def test_an_emptied_redis_is_rebuilt_from_the_database(running_embedded: Fleet) -> None:
    servers = running_embedded.servers
    assert servers is not None
    serve = running_embedded.start("serve")
    running_embedded.start("worker", "--slots", "2")
    running_embedded.submit(running_embedded.write_spec(SPEC + 'gate = "go"\n'))
    for count in (20, 40):
        wait_for_epochs(servers, count)
        servers.client().flushall()
    (running_embedded.folder / "go").touch()

    end = follow_to_end(servers.client(), "s")

    assert (end.state, end.complete) == ("finished", 10), running_embedded.logs()
    assert serve.popen.poll() is None
    check_all_there(servers)


def test_an_sqlite_file_that_is_locked_is_waited_for(running_embedded: Fleet) -> None:
    servers = running_embedded.servers
    assert servers is not None
    running_embedded.start("serve")
    running_embedded.start("worker", "--slots", "1")
    running_embedded.submit(running_embedded.write_spec(SPEC))
    wait_for_epochs(servers, 40)
    with contextlib.closing(sqlite3.connect(servers.storage_url.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN EXCLUSIVE")
        (before,) = other.execute("SELECT COUNT(*) FROM trial_intermediate_values").fetchone()
        Pause(3 * LEASE)()
        (after,) = other.execute("SELECT COUNT(*) FROM trial_intermediate_values").fetchone()
        other.rollback()
    assert after == before, "it was locked"
    assert follow_to_end(servers.client(), "s").complete == 10, running_embedded.logs()
    check_all_there(servers)
    with open_study_reader(servers.storage_url) as history:
        assert [len(history.trial("s", str(number)).attempts) for number in range(10)] == [1] * 10, (
            "an attempt was declared lost"
        )


def test_a_worker_that_is_told_to_stop_hands_its_trial_back(running_embedded: Fleet) -> None:
    servers = running_embedded.servers
    assert servers is not None
    running_embedded.start("serve")
    first = running_embedded.start("worker", "--slots", "1", "--name", "first")
    running_embedded.submit(running_embedded.write_spec(SPEC + "[retry]\nmax_attempts = 1\n"))
    wait_for_epochs(servers, 40)
    assert first.stop(seconds=15) == 0
    running_embedded.start("worker", "--slots", "1", "--name", "second")

    end = follow_to_end(servers.client(), "s")

    assert (end.state, end.complete) == ("finished", 10), running_embedded.logs()
    check_all_there(servers)


def test_a_worker_that_is_told_to_stop_while_it_takes_a_task_leaves_as_soon(running_embedded: Fleet) -> None:
    """Celery forgets a task that its pool has not begun; what comes of it is waited for in vain."""
    servers = running_embedded.servers
    assert servers is not None
    running_embedded.start("serve")
    first = running_embedded.start("worker", "--slots", "1", "--name", "first")
    # A worker takes no task before its keeper is there; this one has trained.
    before = running_embedded.write_spec(SPEC.replace('"s"', '"before"').replace("trials = 10", "trials = 1"))
    running_embedded.submit(before)
    follow_to_end(servers.client(), "before")
    received = first.log.read_text().count("] received")
    keeper = keeper_of(first)
    os.kill(keeper, signal.SIGSTOP)
    running_embedded.submit(running_embedded.write_spec(SPEC.replace("trials = 10", "trials = 2")))
    wait_for(lambda: first.log.read_text().count("] received") > received, "it has taken a task")
    first.popen.send_signal(signal.SIGTERM)
    wait_for(lambda: is_pending(keeper, getattr(signal, STOP_SIGNAL)), "it has heard, and told its slot")
    # Long enough to forget it.
    Pause(1.0)()
    os.kill(keeper, signal.SIGCONT)
    assert first.popen.wait(PATIENCE) == 0
    running_embedded.start("worker", "--slots", "1", "--name", "second")

    end = follow_to_end(servers.client(), "s")

    assert (end.state, end.complete) == ("finished", 2), running_embedded.logs()
    with open_study_reader(servers.storage_url) as history:
        assert [row.cause for row in history.trial("s", "0").attempts] == ["released", "finished"]


def test_malformed_events_in_the_stream_are_set_aside(running_embedded: Fleet) -> None:
    servers = running_embedded.servers
    assert servers is not None
    client = servers.client()
    for data in (b"", b"\xff\xfe", b"\x81\xa1a\x01", b"\xc1" * 100, b"\x93\x01\x02\x03"):
        client.xadd("orchestrator:events", {"e": data})
    client.xadd("orchestrator:events", {"something": "else"})
    running_embedded.start("serve")
    running_embedded.start("worker", "--slots", "1")
    running_embedded.submit(running_embedded.write_spec(SPEC))

    end = follow_to_end(servers.client(), "s")

    assert (end.state, end.complete) == ("finished", 10), running_embedded.logs()
    assert client.xlen("orchestrator:dead") == 6
    assert client.xlen("orchestrator:events") < 50


@real_servers_only
def test_a_trial_that_optuna_ends_keeps_that_end(running: Fleet, tmp_path: Path) -> None:
    servers = running.servers
    assert servers is not None
    running.start("serve")
    running.start("worker", "--slots", "1")
    running.submit(
        running.write_spec(f'name = "s"\nobjective = "objectives:waits"\ntrials = 3\n[args]\nfolder = "{tmp_path}"\n')
    )
    wait_for_epochs(servers, 1)
    servers.study("s").tell(0, 0.5)
    (tmp_path / "go").touch()

    end = follow_to_end(servers.client(), "s")

    assert (end.state, end.complete) == ("finished", 3), running.logs()
    first = servers.study("s").get_trials()[0]
    assert (first.value, list(first.intermediate_values)) == (0.5, [1])


def test_an_objective_that_saves_checkpoints_comes_to_its_next_one_before_its_worker_leaves(
    running_embedded: Fleet, tmp_path: Path
) -> None:
    servers = running_embedded.servers
    assert servers is not None
    running_embedded.start("serve")
    first = running_embedded.start("worker", "--slots", "1", "--name", "first")
    running_embedded.submit(
        running_embedded.write_spec(
            'name = "s"\nobjective = "objectives:saves_seldom"\ntrials = 1\nmax_steps = 40\ngrace = 100\n'
            f'[args]\nfolder = "{tmp_path}"\nepochs = 40\nevery = 10\ngate = 12\nseconds = 0.05\n'
            "[retry]\nmax_attempts = 1\n"
        )
    )
    wait_for_epochs(servers, 12)
    first.popen.send_signal(signal.SIGTERM)
    # Celery prints it just before it signals the keepers; on a busy machine the worker hears the signal late.
    wait_for(lambda: "shutdown (MainProcess)" in first.log.read_text(), "the worker begins to shut down")
    (tmp_path / "go").touch()
    assert first.popen.wait(PATIENCE) == 0
    running_embedded.start("worker", "--slots", "1", "--name", "second")

    end = follow_to_end(servers.client(), "s")

    assert (end.state, end.complete) == ("finished", 1), running_embedded.logs()
    begun = [int(step) for step in (tmp_path / "begun").read_text().splitlines()]
    # The objective waited at epoch 12, behind its checkpoint of epoch 10, until the worker shut down. A worker that
    # hears the signal late lets it come to one more.
    assert begun in ([0, 20], [0, 30]), "the first attempt has saved once more, and no more than that"
    with open_study_reader(servers.storage_url) as history:
        causes = [row.cause for row in history.trial("s", "0").attempts]
    assert causes == ["released", "finished"]


def patient_worker(running: Fleet, overdue: Path) -> Process:
    """Starts the worker ``first`` with one slot, which keeps a task that it has taken ahead until the file is there."""
    environment = without_secrets(running.environment()) | {"OVERDUE": str(overdue)}
    arguments = ("worker", "--slots", "1", "--name", "first")
    return running.start(*arguments, environment=environment, program="tests.faults.patient_worker")


def test_a_task_that_was_taken_ahead_goes_to_another_worker_where_its_slot_does_not_come_free(
    running_embedded: Fleet, tmp_path: Path
) -> None:
    servers = running_embedded.servers
    assert servers is not None
    running_embedded.start("serve")
    first = patient_worker(running_embedded, tmp_path / "overdue")
    running_embedded.submit(
        running_embedded.write_spec(
            'name = "s"\nobjective = "objectives:lingers"\ntrials = 4\ngrace = 200\n'
            f'[args]\nfolder = "{tmp_path}"\n[pruner]\nname = "threshold"\nupper = 10.0\n'
        )
    )
    wait_for((tmp_path / "leaving").exists, "trial 0 is told to stop")
    # The next trial was sent when trial 0 began: it waits in the queue, and then here.
    wait_for(lambda: first.log.read_text().count("] received") >= 2, "the next task is taken ahead")
    (tmp_path / "overdue").touch()
    second = running_embedded.start("worker", "--slots", "1", "--name", "second")
    wait_for(lambda: servers.study("s").get_trials(states=[TrialState.COMPLETE])[2:], "others are trained elsewhere")
    (tmp_path / "go").touch()

    end = follow_to_end(servers.client(), "s")

    assert (end.state, end.complete, end.pruned) == ("finished", 3, 1), running_embedded.logs()
    assert second.log.read_text().count("] succeeded") == 3
    with open_study_reader(servers.storage_url) as history:
        attempts = [history.trial("s", str(number)).attempts for number in range(4)]
    # Of trial 0, whose study may end before its worker has confirmed the stop, only that it was not tried again.
    assert [[row.cause for row in rows] for rows in attempts[1:]] == [["finished"]] * 3
    assert len(attempts[0]) == 1


def test_a_task_that_was_taken_ahead_by_a_worker_that_is_killed_is_trained_elsewhere(
    running_embedded: Fleet, tmp_path: Path
) -> None:
    servers = running_embedded.servers
    assert servers is not None
    running_embedded.start("serve")
    first = patient_worker(running_embedded, tmp_path / "overdue")
    running_embedded.submit(
        running_embedded.write_spec(
            'name = "s"\nobjective = "objectives:lingers"\ntrials = 4\ngrace = 200\n'
            f'[args]\nfolder = "{tmp_path}"\n[pruner]\nname = "threshold"\nupper = 10.0\n'
        )
    )
    wait_for(lambda: first.log.read_text().count("] received") >= 2, "the next task is taken ahead")
    # The slot has trial 0, whose stop it does not heed, and the worker holds the task of trial 1.
    first.kill()
    (tmp_path / "go").touch()
    running_embedded.start("worker", "--slots", "1", "--name", "second")

    end = follow_to_end(servers.client(), "s")

    assert (end.state, end.complete + end.pruned, end.failed) == ("finished", 4, 0), running_embedded.logs()
    with open_study_reader(servers.storage_url) as history:
        trials = [history.trial("s", str(number)) for number in range(4)]
    for trial in trials[1:]:
        assert trial.state == "COMPLETE"
        *before, last = trial.attempts
        assert (last.cause, last.slot.partition("@")[0], trial.redone) == ("finished", "second", 0)
        assert not [row for row in before if row.started is not None], "it had not begun where it was killed"
