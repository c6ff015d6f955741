"""Flower as its users know it: over its REST interface and in a real browser, on a search that runs."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from fleet import PATIENCE, Fleet, Process, Servers, command_line, descendants, follow_to_end, wait_for
from optuna.trial import TrialState

from orchestrator.web.access import GENERATED
from orchestrator.web.flower import COLUMNS
from tests.browser import Browser
from tests.installed import NotInstalled
from tests.servers import free_port
from tests.web import ask

pytestmark = pytest.mark.story

WORKER = f"one@{socket.gethostname()}"
SPEC = """
name = "rows"
objective = "objectives:by_number"
direction = "maximize"
trials = 7
max_steps = 20
seed = 5
[args]
folder = "{folder}"
[pruner]
name = "threshold"
lower = 0.25
"""


@dataclass
class Flower:
    """A running Flower, and the search that it shows: trials 0 and 3 train, 4 waits in the queue."""

    it: Fleet
    servers: Servers
    process: Process
    worker: Process
    port: int
    credentials: str

    def ask(self, path: str, data: str | None = None, credentials: str | None = None) -> tuple[int, str]:
        """Returns status and body of an answer, 0 where there was none. With ``data`` it is a POST."""
        given = self.credentials if credentials is None else credentials
        method = "GET" if data is None else "POST"
        status, answer = ask(self.port, path, given, method=method, data=None if data is None else data.encode())
        return status, answer.decode()

    def row(self, trial: int, attempt: int = 1) -> dict[str, Any]:
        """Returns what Flower knows of an attempt's task."""
        status, body = self.ask(f"/api/task/info/{self.token(trial, attempt)}")
        found: dict[str, Any] = json.loads(body) if status == 200 else {}
        return found

    def token(self, trial: int, attempt: int = 1) -> str:
        return next((row.token for row in self.attempts() if (row.trial, row.number) == (trial, attempt)), "none")

    def attempts(self) -> list[Any]:
        engine = sqlalchemy.create_engine(self.servers.storage_url)
        with engine.connect() as connection:
            found = connection.execute(sqlalchemy.text("SELECT * FROM orchestrator_attempts")).all()
        engine.dispose()
        return list(found)

    def states(self) -> dict[int, TrialState]:
        return {trial.number: trial.state for trial in self.servers.study("rows").trials}

    def failure(self, trial: int) -> str:
        """Returns why a trial failed."""
        return str(self.servers.study("rows").trials[trial].user_attrs.get("failure"))

    def until(self, condition: Callable[[], object], what: str) -> None:
        try:
            wait_for(condition, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.ask('/api/tasks')[1]}\n{self.it.logs()}") from None


@pytest.fixture(scope="module")
def flower(shared_embedded: Fleet) -> Flower:
    it = shared_embedded
    assert it.servers is not None
    (it.folder / "epochs").mkdir()
    port = free_port()
    process = it.start("flower", "--port", str(port))
    it.start("serve")
    worker = it.start("worker", "--slots", "2", "--name", "one")
    file = it.folder / "data" / GENERATED
    wait_for(file.exists, "a password is made")
    found = Flower(it, it.servers, process, worker, port, file.read_text().strip())
    found.until(lambda: WORKER in json.loads(found.ask("/api/workers?refresh=1")[1] or "{}"), "Flower sees it")
    it.submit(it.write_spec(SPEC.format(folder=it.folder / "epochs")))
    for step in (1, 2, 3):
        (it.folder / "epochs" / str(step)).touch()
    found.until(lambda: found.token(4) != "none" and found.row(3).get("result"), "trial 3 trains and 4 waits")
    return found


def test_nobody_gets_in_without_the_password(flower: Flower) -> None:
    for path in ("/", "/tasks", "/broker", f"/worker/{WORKER}", "/api/workers", "/api/tasks", "/metrics"):
        assert flower.ask(path, credentials="")[0] == 401, path
        assert flower.ask(path, credentials="admin:wrong")[0] == 401, path
        assert flower.ask(path)[0] == 200, path
    revoke = f"/api/task/revoke/{flower.token(0)}"
    assert flower.ask(revoke, "terminate=true", credentials="")[0] == 401
    assert flower.row(0)["state"] == "STARTED"
    assert flower.ask("/healthcheck", credentials="") == (200, "OK")


def test_a_row_tells_how_far_its_trial_is_while_it_trains(flower: Flower) -> None:
    flower.until(lambda: flower.row(0)["result"] == "epoch 3 of 20: 1.5", "the third epoch")
    row = flower.row(0)
    assert row["state"] == "STARTED"
    # The parameter was not known when the task was sent.
    assert row["args"].startswith("rows trial 0: x=0.")
    (flower.it.folder / "epochs" / "4").touch()
    flower.until(lambda: flower.row(0)["result"] == "epoch 4 of 20: 2", "the fourth epoch")
    assert flower.row(0)["state"] == "STARTED"


def test_a_failed_one_has_its_traceback(flower: Flower) -> None:
    flower.until(lambda: flower.row(1)["state"] == "FAILURE", "a failed one")
    row = flower.row(1)
    assert row["exception"] == row["result"] == "ValueError: the data set is not there"
    assert row["traceback"].startswith("Traceback (most recent call last):")
    assert 'raise ValueError("the data set is not there")' in row["traceback"]
    assert "celery" not in row["traceback"]


def test_a_pruned_one_is_revoked(flower: Flower) -> None:
    flower.until(lambda: flower.row(2)["result"] == "pruned, epoch 1 of 20: 0", "a pruned one")
    assert flower.row(2)["state"] == "REVOKED"
    assert flower.states()[2] is TrialState.PRUNED


def test_the_pages_show_it(flower: Flower, tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        browser.log_in(flower.credentials)
        browser.open(f"http://127.0.0.1:{flower.port}/tasks")
        browser.until("document.querySelectorAll('#tasks-table tbody tr').length > 4")
        columns = browser.evaluate("[...document.querySelectorAll('th[data-column]')].map(th => th.dataset.column)")
        assert list(dict.fromkeys(columns)) == COLUMNS.split(",")
        rows = browser.evaluate("[...document.querySelectorAll('#tasks-table tbody tr')].map(row => row.innerText)")
        (row,) = (row for row in rows if "rows trial 0" in row)
        assert "STARTED" in row
        assert "epoch 4 of 20: 2" in row
        browser.open(f"http://127.0.0.1:{flower.port}/task/{flower.token(1)}")
        browser.until("document.querySelector('#task-page')?.innerText.includes('in by_number')")
        assert "FAILURE" in browser.evaluate("document.querySelector('#task-page').innerText")
        assert browser.complaints == []


def test_one_that_waits_in_the_queue_is_revoked_at_once(flower: Flower) -> None:
    """Every slot is busy, so no worker comes upon the task."""
    status, _ = flower.ask(f"/api/task/revoke/{flower.token(4)}", "terminate=true")
    assert status == 200
    flower.until(lambda: flower.states()[4] is TrialState.FAIL, "the trial has ended")
    assert "by a person" in flower.failure(4)
    assert [flower.row(trial)["state"] for trial in (0, 3)] == ["STARTED", "STARTED"]


def test_the_button_on_the_page_stops_a_trial(flower: Flower, tmp_path: Path) -> None:
    """Where there is no browser, the request that the button sends."""
    processes = set(descendants(flower.worker.pid))
    try:
        with Browser(tmp_path) as browser:
            browser.log_in(flower.credentials)
            browser.open(f"http://127.0.0.1:{flower.port}/task/{flower.token(3)}")
            browser.until("document.querySelector('#task-terminate')")
            browser.evaluate("document.querySelector('#task-terminate').click()")
            browser.until("document.querySelector('#toast-container').innerText.includes('Revoked')")
    except NotInstalled:
        assert flower.ask(f"/api/task/revoke/{flower.token(3)}", "terminate=true")[0] == 200
    flower.until(lambda: flower.states()[3] is TrialState.FAIL, "the trial has ended")
    assert "by a person" in flower.failure(3)
    flower.until(lambda: flower.row(3)["result"] == "stopped by a person, epoch 1 of 20: 1", "its row says so")
    assert flower.row(3)["state"] == "REVOKED"
    # The slot goes on with what comes next, in the same processes; what was stopped is not attempted again.
    flower.until(lambda: flower.row(5).get("result") == "pruned by the objective", "the next one")
    flower.until(lambda: flower.row(6).get("result") == "6", "the one after it")
    assert (flower.row(4)["state"], flower.row(5)["state"], flower.row(6)["state"]) == ("REVOKED", "REVOKED", "SUCCESS")
    assert flower.states()[5] is TrialState.PRUNED
    assert [row.trial for row in flower.attempts()] == list(range(7))
    assert processes == set(descendants(flower.worker.pid))


def test_no_password_shows_anywhere(flower: Flower) -> None:
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
    assert flower.process.stop() == 0
    flower.process = flower.it.start("flower", "--port", str(flower.port))
    flower.until(lambda: flower.ask("/healthcheck", credentials="")[0] == 200, "it is back")
    assert flower.row(1)["exception"] == "ValueError: the data set is not there"
    flower.until(lambda: flower.row(0)["state"] == "STARTED", "it asks for the same password")


def test_shutting_a_worker_down_hands_its_trial_back(flower: Flower) -> None:
    flower.until(lambda: WORKER in json.loads(flower.ask("/api/workers?refresh=1")[1]), "Flower sees the worker")
    status, answer = flower.ask(f"/api/worker/pool/grow/{WORKER}", "n=1")
    assert status == 403
    assert "start it anew with other --slots" in answer
    assert flower.ask(f"/api/worker/shutdown/{WORKER}", "n=1")[0] == 200
    assert flower.worker.popen.wait(PATIENCE) == 0
    flower.until(lambda: "handed back" in flower.row(0)["result"], "its row says so")
    assert flower.row(0)["state"] == "REVOKED"
    (flower.it.folder / "epochs" / "5").touch()
    flower.it.start("worker", "--slots", "1", "--name", "two")
    end = follow_to_end(flower.servers.client(), "rows")
    assert (end.complete, end.pruned, end.failed) == (2, 2, 3)
    flower.until(lambda: flower.row(0, 2).get("result") == "0", "the attempt of another worker")
    assert flower.row(0, 2)["args"].startswith("rows trial 0 attempt 2: x=0.")
