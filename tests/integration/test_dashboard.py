"""`dashboard` as a user calls it: the real optuna-dashboard on a search that was really run, and in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fleet import Fleet, fleet, wait_for

from orchestrator.web.credentials import GENERATED
from tests.browser import Browser
from tests.servers import free_port
from tests.web import ask

SPEC = """
name = "models"
objective = "objectives:models"
direction = "maximize"
trials = 3
max_steps = 3
seed = 3
keep_models = 1
"""


@dataclass
class Dashboard:
    """A dashboard that runs."""

    it: Fleet
    port: int
    credentials: str

    def ask(self, path: str, method: str = "GET", body: object = None, credentials: str | None = None) -> Any:
        """Returns the status, and the answer of the dashboard's own interface as JSON."""
        given = self.credentials if credentials is None else credentials
        data = None if body is None else json.dumps(body).encode()
        status, answer = ask(self.port, path, given, method=method, data=data, kind="application/json")
        return status, json.loads(answer) if answer and path.startswith("/api/") else answer


@contextmanager
def dashboard(it: Fleet, *arguments: str) -> Iterator[Dashboard]:
    port = free_port()
    process = it.start("dashboard", "--port", str(port), *arguments)
    found = Dashboard(it, port, (it.folder / "data" / GENERATED).read_text().strip())
    wait_for(lambda: found.ask("/api/meta")[0] == 200, "it answers")
    try:
        yield found
    finally:
        assert process.stop() == 0


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A search of three trials that each save a model and leave a file; the model of the best one is kept."""
    folder = tmp_path_factory.mktemp("dashboard")
    with fleet(None, folder) as it:
        it.write_spec(SPEC)
        done = it.call("run", "spec.toml", "--slots", "2")
        assert done.returncode == 0, done.stderr
        (folder / "data" / GENERATED).write_text("me:my-password\n")
        (folder / "data" / GENERATED).chmod(0o600)
        yield it


@pytest.fixture(scope="module")
def shown(searched: Fleet) -> Iterator[Dashboard]:
    with dashboard(searched) as it:
        yield it


def test_the_dashboard_asks_for_the_password(shown: Dashboard) -> None:
    for path in ("/", "/dashboard", "/api/studies", "/static/bundle.js"):
        assert shown.ask(path, credentials="")[0] == 401
        assert shown.ask(path, credentials="me:wrong")[0] == 401
        assert shown.ask(path)[0] == 200
    assert "my-password" not in shown.it.logs()


def test_it_shows_the_study_and_hands_its_files_out(shown: Dashboard) -> None:
    status, studies = shown.ask("/api/studies")
    assert (status, [each["study_name"] for each in studies["study_summaries"]]) == (200, ["models"])
    _, study = shown.ask("/api/studies/1")
    assert [trial["state"] for trial in study["trials"]] == ["Complete"] * 3
    files = {each["filename"]: each["artifact_id"] for each in study["trials"][2]["artifacts"]}
    assert set(files) == {"model.pt", "plots/curve.txt"}
    trial = study["trials"][2]["trial_id"]
    assert shown.ask(f"/artifacts/1/{trial}/{files['plots/curve.txt']}") == (200, b"curve of 2")
    status, model = shown.ask(f"/artifacts/1/{trial}/{files['model.pt']}")
    assert status == 200
    assert model[:2] == b"PK"


def test_it_changes_nothing(shown: Dashboard) -> None:
    file = next((shown.it.folder / "data" / "artifacts").iterdir())
    for method, path in (
        ("DELETE", "/api/studies/1"),
        ("POST", "/api/studies"),
        ("PUT", "/api/studies/1/note"),
        ("POST", "/api/studies/1/rename"),
        ("POST", "/api/trials/1/tell"),
        ("DELETE", f"/api/artifacts/1/1/{file.name}"),
    ):
        status, answer = shown.ask(path, method, {"study_name": "x", "directions": ["minimize"]})
        assert status == 403
        assert answer["reason"].startswith("this dashboard is read-only; to write from it, start")
    assert file.exists()


def test_a_browser_shows_it(shown: Dashboard, tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        browser.log_in(shown.credentials)
        browser.open(f"http://127.0.0.1:{shown.port}/dashboard/studies/1/trials?numbers=2")
        browser.until("document.body.innerText.includes('plots/curve.txt')")
        assert browser.evaluate("document.body.innerText.includes('models')")
        assert browser.complaints == []


def test_it_writes_where_that_was_asked_for(searched: Fleet) -> None:
    with dashboard(searched, "--write") as it:
        assert it.ask("/api/studies/1/note", "PUT", {"version": 1, "body": "the third one is it"})[0] == 204
        assert it.ask("/api/studies/1")[1]["note"]["body"] == "the third one is it"


def test_a_port_that_is_taken_is_one_line(searched: Fleet, shown: Dashboard) -> None:
    done = searched.call("dashboard", "--port", str(shown.port))
    assert done.returncode == 2
    assert done.stderr.startswith(f"orchestrator: 127.0.0.1:{shown.port}: nothing can listen there: Address already")
    assert len(done.stderr.splitlines()) == 1
