"""Flower as its users know it: over its REST interface and in a real browser, on searches that run.

All tests share a Flower, a control plane and a worker; each has a search of its own.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from fleet import PATIENCE, Fleet, Process, Servers, command_line, descendants, follow_to_end, wait_for
from optuna.trial import TrialState

from orchestrator.web.credentials import GENERATED
from tests import preloaded
from tests.browser import PROGRAMS, Browser
from tests.installed import NotInstalled, program
from tests.servers import free_port
from tests.web import ask

WORKER = f"one@{socket.gethostname()}"
SPEC = """
name = "{name}"
objective = "objectives:plays"
direction = "maximize"
trials = {trials}
max_steps = 20
seed = 5
[args]
parts = {parts}
folder = "{folder}"
[pruner]
name = "threshold"
lower = 0.25
"""


@dataclass
class Flower:
    """A Flower, and what it looks at."""

    it: Fleet
    servers: Servers
    port: int = field(default_factory=free_port)
    processes: dict[str, Process] = field(default_factory=dict)
    searches: list[Search] = field(default_factory=list)

    @property
    def credentials(self) -> str:
        return (self.it.folder / "data" / GENERATED).read_text().strip()

    @property
    def worker(self) -> Process:
        return self.processes["worker"]

    def bring_up(self) -> None:
        """Starts what does not run, and waits until Flower sees the worker."""
        for command in (
            ("flower", "--port", str(self.port)),
            ("serve",),
            ("worker", "--slots", "2", "--name", "one"),
        ):
            process = self.processes.get(command[0])
            if process is None or process.popen.poll() is not None:
                self.processes[command[0]] = self.it.start(*command)
        wait_for((self.it.folder / "data" / GENERATED).exists, "a password is made")
        self.until(lambda: WORKER in json.loads(self.ask("/api/workers?refresh=1")[1] or "{}"), "Flower sees it")

    def begin(self, name: str, *parts: str) -> Search:
        """Submits a search of which each trial plays a part."""
        folder = self.it.folder / name
        folder.mkdir()
        self.searches.append(Search(self, name, folder, parts))
        spec = SPEC.format(name=name, trials=len(parts), parts=json.dumps(parts), folder=folder)
        self.it.submit(self.it.write_spec(spec, f"{name}.toml"))
        return self.searches[-1]

    def ask(self, path: str, data: str | None = None, credentials: str | None = None) -> tuple[int, str]:
        """Returns status and body of an answer, 0 where there was none. With ``data`` it is a POST."""
        given = self.credentials if credentials is None else credentials
        method = "GET" if data is None else "POST"
        status, answer = ask(self.port, path, given, method=method, data=None if data is None else data.encode())
        return status, answer.decode()

    def until(self, condition: Callable[[], object], what: str) -> None:
        try:
            wait_for(condition, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.ask('/api/tasks')[1]}\n{self.it.logs()}") from None


@dataclass
class Search:
    """A search, and what Flower and the database know of it."""

    flower: Flower
    name: str
    folder: Path
    parts: tuple[str, ...]

    def step(self, *steps: int) -> None:
        """Lets the trials that wait for it go on."""
        for step in steps:
            (self.folder / str(step)).touch()

    def row(self, trial: int, attempt: int = 1) -> dict[str, Any]:
        """Returns what Flower knows of an attempt's task."""
        status, body = self.flower.ask(f"/api/task/info/{self.token(trial, attempt)}")
        found: dict[str, Any] = json.loads(body) if status == 200 else {}
        return found

    def until_row(self, trial: int, attempt: int = 1, **wanted: str) -> dict[str, Any]:
        """Waits until Flower says this of an attempt's task, and returns what it knows then."""

        def there() -> bool:
            row = self.row(trial, attempt)
            return all(row.get(key) == value for key, value in wanted.items())

        self.flower.until(there, f"the row of trial {trial} of {self.name} says {wanted}")
        return self.row(trial, attempt)

    def token(self, trial: int, attempt: int = 1) -> str:
        return next((row.token for row in self.attempts() if (row.trial, row.number) == (trial, attempt)), "none")

    def attempts(self) -> list[Any]:
        engine = sqlalchemy.create_engine(self.flower.servers.storage_url)
        query = "SELECT * FROM orchestrator_attempts JOIN studies USING (study_id) WHERE study_name = :name"
        with engine.connect() as connection:
            found = connection.execute(sqlalchemy.text(query), {"name": self.name}).all()
        engine.dispose()
        return list(found)

    def states(self) -> dict[int, TrialState]:
        return {trial.number: trial.state for trial in self.flower.servers.study(self.name).trials}

    def failure(self, trial: int) -> str:
        """Returns why a trial failed."""
        return str(self.flower.servers.study(self.name).trials[trial].user_attrs.get("failure"))

    def end(self) -> tuple[int, int, int]:
        """Waits until it has ended. Returns how many trials completed, were pruned, and failed."""
        with closing(self.flower.servers.client()) as client:
            end = follow_to_end(client, self.name)
        return end.complete, end.pruned, end.failed

    def stop(self) -> None:
        """Ends it, so that the slots are free for another one."""
        if sum(state.is_finished() for state in self.states().values()) < len(self.parts):
            it = self.flower.it
            done = preloaded.run("stop", self.name, environment=it.environment(), folder=it.folder, seconds=PATIENCE)
            assert done.returncode == 0, done.stderr
        self.end()


@pytest.fixture(scope="module")
def shared(shared_embedded: Fleet) -> Flower:
    assert shared_embedded.servers is not None
    return Flower(shared_embedded, shared_embedded.servers)


@pytest.fixture
def flower(shared: Flower) -> Iterator[Flower]:
    """A Flower that is up, as are a control plane and a worker, which has nothing to do."""
    shared.bring_up()
    yield shared
    while shared.searches:
        shared.searches.pop().stop()


def test_flower_asks_for_the_password(flower: Flower) -> None:
    search = flower.begin("guarded", "stays")
    search.until_row(0, state="STARTED")
    for path in ("/", "/tasks", "/broker", f"/worker/{WORKER}", "/api/workers", "/api/tasks", "/metrics"):
        assert flower.ask(path, credentials="")[0] == 401, path
        assert flower.ask(path, credentials="admin:wrong")[0] == 401, path
        assert flower.ask(path)[0] == 200, path
    revoke = f"/api/task/revoke/{search.token(0)}"
    assert flower.ask(revoke, "terminate=true", credentials="")[0] == 401
    assert search.row(0)["state"] == "STARTED"
    assert flower.ask("/healthcheck", credentials="") == (200, "OK")


def test_a_row_tells_how_far_its_trial_is_while_it_trains(flower: Flower) -> None:
    search = flower.begin("telling", "steps")
    search.step(1, 2, 3)
    row = search.until_row(0, result="epoch 3 of 20: 1.5")
    assert row["state"] == "STARTED"
    # The parameter was not known when the task was sent.
    assert row["args"].startswith("telling trial 0: x=0.")
    search.step(4)
    assert search.until_row(0, result="epoch 4 of 20: 2")["state"] == "STARTED"


def test_a_failed_one_has_its_traceback(flower: Flower) -> None:
    error = "ValueError: the data set is not there"
    row = flower.begin("failing", "fails").until_row(0, state="FAILURE", exception=error, result=error)
    assert row["traceback"].startswith("Traceback (most recent call last):")
    assert 'raise ValueError("the data set is not there")' in row["traceback"]
    assert "celery" not in row["traceback"]


def test_a_pruned_one_is_revoked(flower: Flower) -> None:
    search = flower.begin("pruning", "bad")
    assert search.until_row(0, result="pruned, epoch 1 of 20: 0")["state"] == "REVOKED"
    assert search.states()[0] is TrialState.PRUNED


def test_the_pages_show_it(flower: Flower, tmp_path: Path) -> None:
    from orchestrator.web.flower import COLUMNS

    program(*PROGRAMS, what="Chromium")
    search = flower.begin("shown", "steps", "fails")
    search.step(1, 2, 3, 4)
    search.until_row(0, result="epoch 4 of 20: 2")
    search.until_row(1, state="FAILURE")
    with Browser(tmp_path) as browser:
        browser.log_in(flower.credentials)
        browser.open(f"http://127.0.0.1:{flower.port}/tasks")
        rows_shown = "[...document.querySelectorAll('#tasks-table tbody tr')].map(row => row.innerText)"
        browser.until(f"{rows_shown}.filter(row => row.includes('shown trial')).length == 2")
        columns = browser.evaluate("[...document.querySelectorAll('th[data-column]')].map(th => th.dataset.column)")
        assert list(dict.fromkeys(columns)) == COLUMNS.split(",")
        (row,) = (row for row in browser.evaluate(rows_shown) if "shown trial 0" in row)
        assert "STARTED" in row
        assert "epoch 4 of 20: 2" in row
        browser.open(f"http://127.0.0.1:{flower.port}/task/{search.token(1)}")
        browser.until("document.querySelector('#task-page')?.innerText.includes('in plays')")
        assert "FAILURE" in browser.evaluate("document.querySelector('#task-page').innerText")
        assert browser.complaints == []


def test_one_that_waits_in_the_queue_is_revoked_at_once(flower: Flower) -> None:
    """Every slot is busy, so no worker comes upon the task."""
    search = flower.begin("waiting", "stays", "stays", "does not begin", "returns")
    for trial in (0, 1):
        search.until_row(trial, state="STARTED")
    flower.until(lambda: search.token(2) != "none", "trial 2 waits")
    assert flower.ask(f"/api/task/revoke/{search.token(2)}", "terminate=true")[0] == 200
    flower.until(lambda: search.states()[2] is TrialState.FAIL, "the trial has ended")
    assert "by a person" in search.failure(2)
    assert [search.row(trial)["state"] for trial in (0, 1)] == ["STARTED", "STARTED"]
    # A slot that becomes free comes upon the task and passes over it.
    assert flower.ask(f"/api/task/revoke/{search.token(0)}", "terminate=true")[0] == 200
    search.until_row(3, result="3")
    # What a worker says of the two may reach Flower in either order.
    search.until_row(2, state="REVOKED")
    assert (search.row(2)["state"], search.row(3)["state"]) == ("REVOKED", "SUCCESS")
    assert [row.trial for row in search.attempts()] == list(range(4))


def test_the_button_on_the_page_stops_a_trial(flower: Flower, tmp_path: Path) -> None:
    """Where there is no browser, the request that the button sends."""
    search = flower.begin("stopping", "stays", "stays", "prunes itself", "returns")
    for trial in (0, 1):
        search.until_row(trial, result="epoch 1 of 20: 1")
    processes = set(descendants(flower.worker.pid))
    try:
        with Browser(tmp_path) as browser:
            browser.log_in(flower.credentials)
            browser.open(f"http://127.0.0.1:{flower.port}/task/{search.token(1)}")
            browser.until("document.querySelector('#task-terminate')")
            browser.evaluate("document.querySelector('#task-terminate').click()")
            browser.until("document.querySelector('#toast-container').innerText.includes('Revoked')")
    except NotInstalled:
        assert flower.ask(f"/api/task/revoke/{search.token(1)}", "terminate=true")[0] == 200
    flower.until(lambda: search.states()[1] is TrialState.FAIL, "the trial has ended")
    assert "by a person" in search.failure(1)
    assert search.until_row(1, result="stopped by a person, epoch 1 of 20: 1")["state"] == "REVOKED"
    # The slot goes on with what comes next, in the same processes; what was stopped is not attempted again.
    assert search.until_row(2, result="pruned by the objective")["state"] == "REVOKED"
    assert search.until_row(3, result="3")["state"] == "SUCCESS"
    assert search.states()[2] is TrialState.PRUNED
    assert [row.trial for row in search.attempts()] == list(range(4))
    assert processes == set(descendants(flower.worker.pid))


def test_no_password_shows_anywhere(flower: Flower) -> None:
    search = flower.begin("secrets", "stays", "fails")
    search.until_row(0, state="STARTED")
    search.until_row(1, state="FAILURE")
    secrets = [sqlalchemy.make_url(flower.servers.redis_url).password, flower.credentials.partition(":")[2]]
    assert all(secrets)
    places = [
        "/",
        "/tasks",
        "/broker",
        f"/worker/{WORKER}",
        "/api/workers",
        "/api/tasks",
        "/workers?json=1",
        "/metrics",
    ]
    shown = "".join(flower.ask(place)[1] for place in places)
    assert ":**@127.0.0.1" in shown, "the broker is named"
    ours = [pid for process in flower.it.processes for pid in (process.pid, *descendants(process.pid))]
    shown += "".join(map(command_line, ours)) + flower.it.logs()
    assert not [secret for secret in secrets if secret in shown]


def test_what_it_knows_outlives_it(flower: Flower) -> None:
    search = flower.begin("outliving", "stays", "fails")
    search.until_row(0, state="STARTED")
    search.until_row(1, state="FAILURE")
    assert flower.processes["flower"].stop() == 0
    flower.processes["flower"] = flower.it.start("flower", "--port", str(flower.port))
    flower.until(lambda: flower.ask("/healthcheck", credentials="")[0] == 200, "it is back")
    assert search.row(1)["exception"] == "ValueError: the data set is not there"
    # It asks for the same password.
    search.until_row(0, state="STARTED")


def test_shutting_a_worker_down_hands_its_trial_back(flower: Flower) -> None:
    search = flower.begin("handing", "steps", "fails", "bad", "prunes itself", "returns")
    search.step(1, 2, 3, 4)
    search.until_row(0, result="epoch 4 of 20: 2")
    search.until_row(4, result="4")
    status, answer = flower.ask(f"/api/worker/pool/grow/{WORKER}", "n=1")
    assert status == 403
    assert "start it anew with other --slots" in answer
    assert flower.ask(f"/api/worker/shutdown/{WORKER}", "n=1")[0] == 200
    assert flower.worker.popen.wait(PATIENCE) == 0
    flower.until(lambda: "handed back" in search.row(0)["result"], "its row says so")
    assert search.row(0)["state"] == "REVOKED"
    search.step(5)
    two = flower.it.start("worker", "--slots", "1", "--name", "two")
    assert search.end() == (2, 2, 1)
    assert search.until_row(0, 2, result="0")["args"].startswith("handing trial 0 attempt 2: x=0.")
    assert two.stop() == 0
