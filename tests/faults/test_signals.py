"""Whatever processes of a worker are told to end, by whatever signal, its trials are handed back without a charge."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from fleet import Fleet, Pause, Process, command_line, descendants, fleet, follow_to_end, wait_for
from fleet_servers import embedded_servers

from orchestrator.queries.readonly import open_study_reader

SPEC = """
name = "{name}"
objective = "objectives:steady"
direction = "maximize"
trials = 2
grace = 5
[args]
epochs = 3
gate = "{gate}"
[retry]
max_attempts = 1
"""

CASES = [
    # Every set of processes; every signal, once and twice, for each kind of process.
    (("trainers",), signal.SIGTERM, 1),
    (("trainers",), signal.SIGINT, 2),
    (("keepers",), signal.SIGHUP, 2),
    (("main",), signal.SIGINT, 1),
    (("trainers", "keepers"), signal.SIGHUP, 1),
    (("keepers", "main"), signal.SIGTERM, 2),
    (("trainers", "main"), signal.SIGTERM, 1),
    (("trainers", "keepers", "main"), signal.SIGINT, 1),
    (("main", "keepers", "trainers"), signal.SIGHUP, 2),
]


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("signals")
    with contextmanager(embedded_servers)(folder) as servers, fleet(servers, folder) as made:
        # So long that no loaded machine takes silence for what its worker is about to say.
        serve = made.start("serve", environment=made.environment() | {"ORCHESTRATOR_LEASE": "60"})
        # Before that, who submits may meet tables that are being made.
        wait_for(lambda: "writing in term" in serve.log.read_text(), "the control plane is there")
        yield made


def worker(it: Fleet) -> Process:
    """Returns the worker that runs; starts one where none does."""
    running = [each for each in it.processes if "-worker" in each.log.name and each.popen.poll() is None]
    return running[0] if running else it.start("worker", "--slots", "2", "--name", f"w{len(it.processes)}")


def processes(main: Process) -> dict[str, list[int]]:
    below = descendants(main.pid)
    trainers = [pid for pid in below if "tasks.trainer" in command_line(pid)]
    return {"main": [main.pid], "trainers": trainers, "keepers": [pid for pid in below if pid not in trainers]}


def tell(pids: Sequence[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def causes(it: Fleet, study: str) -> list[list[str]]:
    assert it.servers is not None
    with open_study_reader(it.servers.storage_url) as history:
        return [[row.cause for row in history.trial(study, str(number)).attempts] for number in range(2)]


@pytest.mark.parametrize(
    ("order", "number", "times"),
    CASES,
    ids=["-".join((*order, number.name, str(times))) for order, number, times in CASES],
)
def test_trials_are_handed_back(
    it: Fleet, tmp_path: Path, order: tuple[str, ...], number: signal.Signals, times: int
) -> None:
    assert it.servers is not None
    name = "-".join((*order, number.name.lower(), str(times)))
    gate = tmp_path / "gate"
    spec = it.write_spec(SPEC.format(name=name, gate=gate), f"{name}.toml")
    main = worker(it)
    it.submit(spec)
    study = it.servers.study(name)
    wait_for(
        lambda: all(len(t.intermediate_values) == 2 for t in study.get_trials()[:2]) and len(study.trials) == 2, name
    )
    pids = processes(main)
    for _ in range(times):
        for kind in order:
            tell(pids[kind], number)
        Pause(0.3)()
    if "main" in order:
        assert main.popen.wait(60) == 0
        worker(it)
    gate.touch()

    end = follow_to_end(it.servers.client(), name)

    assert (end.state, end.complete) == ("finished", 2), it.logs()
    found = causes(it, name)
    assert all(attempts[-1] == "finished" and set(attempts[:-1]) <= {"released"} for attempts in found), found
    assert all(len(attempts) > 1 for attempts in found), found
    # A trainer that is interrupted leaves its trial, and waits for the next one.
    told = [kind for kind in order if (kind, number) != ("trainers", signal.SIGINT)]
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for kind in told for pid in pids[kind]), "they end")


def test_a_keeper_that_is_killed_is_reported_by_its_worker(it: Fleet, tmp_path: Path) -> None:
    """Also a process ends that its trial has started, in a session and with an environment of its own."""
    assert it.servers is not None
    gate = tmp_path / "gate"
    spec = SPEC.format(name="killed", gate=gate).replace("max_attempts = 1", "max_attempts = 2")
    spec = spec.replace("objectives:steady", "objectives:strays").replace("epochs = 3", f'folder = "{tmp_path}"')
    main = worker(it)
    it.submit(it.write_spec(spec, "killed.toml"))
    wait_for(lambda: len(list(tmp_path.glob("stray-*"))) == 2, "both train")
    study = it.servers.study("killed")
    wait_for(lambda: sum(len(t.intermediate_values) for t in study.get_trials()) == 2, "both have reported")
    tell(processes(main)["keepers"], signal.SIGKILL)
    gate.touch()

    end = follow_to_end(it.servers.client(), "killed")

    assert (end.state, end.complete) == ("finished", 2), it.logs()
    for lost, finished in causes(it, "killed"):
        # Known before a lease of silence was over.
        assert "its worker process on" in lost
        assert "signal 9 (Killed)" in lost
        assert finished == "finished"
    strays = [int(note.read_text()) for note in tmp_path.glob("stray-*")]
    assert len(strays) == 4
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in strays), "what the trials have started ends")
