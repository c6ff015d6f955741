"""Handles of a fleet's studies, from Python: looking, following, steering, and the page's example."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fleet import PATIENCE, Fleet, real_servers_only, wait_for

from orchestrator import BadInput, OrchestratorError, Search, StudyFailed, StudyHandle, connect
from orchestrator.api.fleet import Fleet as Studies
from orchestrator.model.progress_events import Notice, Progress, TrialEnded
from tests.pages import all_blocks

SPACE = {"x": {"type": "float", "low": 0.0, "high": 1.0}}


@contextlib.contextmanager
def connected(it: Fleet, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studies]:
    """Yields the studies of a fleet with one worker; this process has the settings of its processes."""
    for name, value in it.environment().items():
        if name.startswith("ORCHESTRATOR_"):
            monkeypatch.setenv(name, value)
    it.start("serve")
    it.start("worker", "--slots", "2")
    with connect() as fleet:
        yield fleet


def submit(fleet: Studies, search: Search) -> StudyHandle:
    """Submits a search once the control plane has made the tables and answers."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return search.submit(fleet)
        except OrchestratorError:
            assert time.monotonic() < deadline


@real_servers_only
def test_a_study_is_followed_and_steered(running: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(
        "objectives:waits", name="one", direction="maximize", trials=4, space=SPACE, args={"folder": str(tmp_path)}
    )
    with connected(running, monkeypatch) as fleet:
        study = submit(fleet, search)
        assert fleet["one"] == study == search.submit(fleet), "the same search again goes on with it"
        wait_for(lambda: study.status().running == 2, "both slots train")
        first = next(iter(study.events()))
        assert isinstance(first, Progress)
        with pytest.raises(TimeoutError, match=r"study 'one' has not ended in 0\.1 s: it is running"):
            study.wait(0.1)
        asyncio.run(cancelled(study))

        assert (study.pause(), study.state, study.resume()) == ("paused", "paused", "running")
        added = study.enqueue({"x": np.float32(0.25)})
        assert added.number is not None
        with pytest.raises(BadInput, match="study 'one': x: is 'high'"):
            study.enqueue({"x": "high"})

        told: list[Notice] = []
        listener = threading.Thread(target=lambda: told.extend(study.events()))
        listener.start()
        heard = asyncio.run(listen(study, lambda: (tmp_path / "go").touch()))
        listener.join(PATIENCE)
        for events in (told, heard):
            last = events[-1]
            assert isinstance(last, Progress)
            assert last.state == "finished"
            assert any(isinstance(each, TrialEnded) for each in events)

        found = study.wait(PATIENCE)
        assert found.trials[added.number].params == {"x": 0.25}
        best = study.best
        assert best is not None
        assert best.number == found.best_trial.number
        assert study.status().complete == 5
        assert str(study.status()).startswith("one  finished")
        assert [each["number"] for each in study.trials(sort="value", limit=1)] == [best.number]
        assert str(study.why(0)).startswith("trial 0 completed")
        assert (study.retry(0).number, study.wait(PATIENCE).trials[5].params) == (5, found.trials[0].params)
        assert pickle.loads(pickle.dumps(study)) == study
        assert study.report(tmp_path / "report").html.exists()
    with pytest.raises(OrchestratorError, match="the connection to the studies is closed"):
        study.status()


async def cancelled(study: StudyHandle) -> None:
    async def follow() -> None:
        async for _ in study.events():
            began.set()

    began = asyncio.Event()
    task = asyncio.create_task(follow())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def listen(study: StudyHandle, then: object) -> list[Notice]:
    """Returns the events of a study until its end; calls ``then`` once the first has come."""
    assert callable(then)
    events = []
    async for event in study.events():
        events.append(event)
        if len(events) == 1:
            then()
    return events


@real_servers_only
def test_what_is_wrong_with_a_study_is_said(running: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    with connected(running, monkeypatch) as fleet:
        study = submit(fleet, Search("objectives:fails", name="broken", trials=3))
        with pytest.raises(StudyFailed, match="study 'broken' failed: "):
            study.wait(PATIENCE)
        assert list(fleet) == ["broken"]
        assert "broken" in fleet
        assert "brokem" not in fleet
        assert fleet.get("brokem") is None
        with pytest.raises(KeyError, match="did you mean 'broken'"):
            fleet["brokem"]
        for call in (lambda: study.why(99), lambda: study.retry(99), lambda: study.logs(99), lambda: study.why("x")):
            with pytest.raises(BadInput, match=r"trial '?(99|x)'?: (there is no such trial|is not a number)"):
                call()
        with pytest.raises(BadInput, match=r"trials: sort: is 'valeu'; did you mean 'value'"):
            study.trials(sort="valeu")  # type: ignore[arg-type]
        with pytest.raises(BadInput, match="was started as another search: direction"):
            Search("objectives:fails", name="broken", trials=3, space=SPACE, direction="maximize").submit(fleet)


@pytest.mark.long
@real_servers_only
def test_the_example_of_the_page_works_as_it_stands(running: Fleet) -> None:
    running.start("serve")
    running.start("worker", "--slots", "2")
    (block,) = all_blocks("test_python_fleet")
    script = running.folder / "page.py"
    script.write_text(block.text)
    wait_for(lambda: running.call("ls").returncode == 0, "the tables are there")
    process = running.launch([sys.executable, str(script)], "page")
    assert process.popen.wait(PATIENCE) == 0, process.log.read_text()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"redis_url": "localhost:6379"}, "connect: redis_url: "),
        ({"storage_url": "mysql://host/db"}, "connect: storage_url: mysql is not supported"),
        ({"redis_url": ""}, "connect: redis_url: is empty; give a URL"),
        ({"storage_url": 5}, "connect: storage_url: is an integer (5); it must be a string"),
    ],
)
def test_a_url_that_cannot_be_one_is_refused_by_the_argument_that_holds_it(given: dict[str, str], words: str) -> None:
    with pytest.raises(BadInput) as refused:
        connect(**given)
    assert str(refused.value).startswith(words)


def test_a_url_that_is_given_brings_no_other_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", "redis://:secret@elsewhere:6379/0")
    monkeypatch.setenv("ORCHESTRATOR_STORAGE_URL", "postgresql://user:secret@elsewhere/optuna")
    assert connect(storage_url="sqlite:////nowhere/studies.db").settings.redis_url is None
    assert connect("redis://here:6379/0").settings.storage_url is None
    assert "secret" not in repr(connect())
    assert "elsewhere" in repr(connect())


def test_where_nothing_was_searched_there_are_no_studies(tmp_path: Path) -> None:
    with connect(data_dir=tmp_path) as fleet:
        assert list(fleet) == []
        assert len(fleet) == 0
        assert fleet.get("one") is None
        with pytest.raises(KeyError, match="there is no such database; run a search first"):
            fleet["one"]
        assert "no studies yet" in fleet._repr_html_()
