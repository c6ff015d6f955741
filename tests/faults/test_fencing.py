"""A task that comes twice is trained once: the second runner asks first, and what the first one wrote stays whole."""

from __future__ import annotations

import base64
import json
import signal
from pathlib import Path

from fleet import Fleet, Pause, Servers, follow_to_end, notices, real_servers_only, wait_for
from optuna.trial import TrialState

from orchestrator.messaging.dispatch import queue_names
from orchestrator.model.progress_events import Progress
from tasks import redis_keys
from tasks.codec import decode_event
from tasks.contract import Started
from tasks.keeper.binding import FENCE_SECONDS

FIRST, NORMAL = queue_names("trials")[:2]
OBJECTIVE = """
import time
from pathlib import Path


def counted(trial, *, folder):
    runs = Path(folder, f"{trial.study.study_name}-{trial.number}")
    with runs.open("a") as file:
        file.write("ran\\\\n")
    x = trial.suggest_float("x", 0.0, 1.0)
    trial.report(x, 1)
    while not Path(folder, "go").exists():
        time.sleep(0.01)
    trial.report(2 * x, 2)
    return 2 * x
""".replace("\\\\", "\\")

SPEC = """
name = "{name}"
objective = "once:counted"
trials = {trials}
seed = 3
[args]
folder = "{folder}"
"""


def prepare(running: Fleet, name: str = "s", trials: int = 1) -> str:
    (running.folder / "once.py").write_text(OBJECTIVE)
    spec = SPEC.format(name=name, trials=trials, folder=running.folder)
    return running.submit(running.write_spec(spec, f"{name}.toml"))


def queued(servers: Servers) -> list[bytes]:
    """The messages that no worker has taken yet."""
    found: list[bytes] = servers.client().lrange(NORMAL, 0, -1)  # type: ignore[assignment]
    return found


def send_again(servers: Servers, message: bytes) -> None:
    """Puts a copy before everything that waits."""
    servers.client().rpush(FIRST, message)


def marked_again(message: bytes) -> bytes:
    """Returns what the control plane sends when it misses a task."""
    envelope = json.loads(message)
    (job,), options, embedded = json.loads(base64.b64decode(envelope["body"]))
    body = json.dumps([[job | {"again": True}], options, embedded])
    return json.dumps(envelope | {"body": base64.b64encode(body.encode()).decode()}).encode()


def claims(servers: Servers) -> set[str]:
    """The runners that say that they have begun."""
    entries: list[tuple[bytes, dict[bytes, bytes]]] = servers.client().xrange(redis_keys.EVENTS)  # type: ignore[assignment]
    events = [decode_event(fields[redis_keys.EVENT_FIELD]) for _, fields in entries]
    return {event.runner for event in events if isinstance(event.body, Started)}


def runs(folder: Path, name: str) -> int:
    return len((folder / name).read_text().splitlines())


def wait_for_epochs(servers: Servers, count: int) -> None:
    for notice in notices(servers.client(), "s"):
        if isinstance(notice, Progress) and notice.epochs >= count:
            return


@real_servers_only
def test_a_task_that_comes_again_after_its_trial_has_ended_is_not_run(running: Fleet) -> None:
    servers = running.servers
    assert servers is not None
    (running.folder / "go").touch()
    running.start("serve")
    prepare(running)
    wait_for(lambda: queued(servers), "the task is sent")
    (message,) = queued(servers)
    running.start("worker", "--slots", "1")
    assert follow_to_end(servers.client(), "s").complete == 1, running.logs()
    for _ in range(3):
        send_again(servers, message)
    # The one slot takes them in turn: when a study that comes after them has ended, they have been taken.
    prepare(running, "next")
    assert follow_to_end(servers.client(), "next").complete == 1, running.logs()

    assert runs(running.folder, "s-0") == 1
    (trial,) = servers.study("s").get_trials()
    assert (trial.state, list(trial.intermediate_values)) == (TrialState.COMPLETE, [1, 2])


@real_servers_only
def test_a_task_delivered_again_while_its_trial_trains_is_not_run(running: Fleet) -> None:
    servers = running.servers
    assert servers is not None
    running.start("serve")
    prepare(running, trials=2)
    wait_for(lambda: queued(servers), "the task is sent")
    message = queued(servers)[-1]  # the oldest one, which is taken first
    running.start("worker", "--slots", "1", "--name", "first")
    wait_for_epochs(servers, 1)
    # The other slot takes the copy first, then the trial that waits.
    send_again(servers, message)
    running.start("worker", "--slots", "1", "--name", "second")
    wait_for_epochs(servers, 2)
    (running.folder / "go").touch()

    assert follow_to_end(servers.client(), "s").complete == 2, running.logs()
    assert [runs(running.folder, f"s-{number}") for number in range(2)] == [1, 1]


@real_servers_only
def test_a_task_that_was_sent_again_waits_to_hear_whose_it_is(running: Fleet) -> None:
    servers = running.servers
    assert servers is not None
    control = running.start("serve")
    prepare(running)
    wait_for(lambda: queued(servers), "the task is sent")
    (message,) = queued(servers)
    # It hears of nothing, and is back at once: a start of its own might take longer than keepers wait for it.
    control.popen.send_signal(signal.SIGSTOP)
    running.start("worker", "--slots", "1", "--name", "first")
    wait_for(lambda: (running.folder / "s-0").exists(), "the first one has begun, unheard")
    send_again(servers, marked_again(message))
    running.start("worker", "--slots", "1", "--name", "second")
    wait_for(lambda: len(claims(servers)) == 2, "the second one asks whose it is")
    Pause(1.5 * FENCE_SECONDS)()
    assert runs(running.folder, "s-0") == 1, "one that comes for the first time would have begun by now"
    control.popen.send_signal(signal.SIGCONT)
    (running.folder / "go").touch()

    assert follow_to_end(servers.client(), "s").complete == 1, running.logs()
    assert runs(running.folder, "s-0") == 1
