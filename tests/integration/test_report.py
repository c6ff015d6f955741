"""`report` as a user calls it: on a search that was really run, opened in a real browser."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet import Fleet, fleet

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe"),
)
SPEC = """
name = "models"
objective = "objectives:models"
direction = "maximize"
trials = 5
max_steps = 3
seed = 3
keep_models = 2
[args]
folder = "{folder}"
"""


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A search of five trials that each save a model; the models of the best two are kept."""
    folder = tmp_path_factory.mktemp("report")
    with fleet(None, folder) as it:
        (folder / "own").mkdir()
        it.write_spec(SPEC.format(folder=folder / "own"))
        done = it.call("run", "spec.toml", "--slots", "2")
        assert done.returncode == 0, done.stderr
        yield it


@pytest.fixture(scope="module")
def written(searched: Fleet) -> dict[str, Any]:
    done = searched.call("report", "models", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_files_are_where_it_says(searched: Fleet, written: dict[str, Any]) -> None:
    page = Path(written["html"])
    assert page.parent.parent == searched.folder / "data" / "reports"
    assert page.stat().st_size < 10_000_000
    assert {Path(path).name for path in written["png"]} >= {"history.png", "curves.png", "timeline.png"}
    for path in written["png"]:
        assert Path(path).read_bytes().startswith(b"\x89PNG")

    done = searched.call("report", "models", "-o", "elsewhere")
    assert done.stdout.strip() == str(searched.folder / "elsewhere" / "report.html")


def test_the_best_model_is_named(searched: Fleet, written: dict[str, Any]) -> None:
    text = Path(written["html"]).read_text()
    best = text[text.index("The model of the best trial is") :].partition("</p>")[0]
    place = best.rpartition("at <code>")[2].partition("</code>")[0]
    assert "<strong>model.pt</strong>" in best
    assert Path(place).is_file()
    assert Path(place).parent == searched.folder / "data" / "artifacts"


def test_an_unknown_study_is_one_line(searched: Fleet) -> None:
    done = searched.call("report", "modles")
    assert done.returncode == 2
    assert done.stderr.startswith("orchestrator: study 'modles': there is none of that name")
    assert len(done.stderr.splitlines()) == 1


def test_a_browser_draws_every_plot_and_fetches_nothing(written: dict[str, Any], tmp_path: Path) -> None:
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium is installed, so the page cannot be opened")
    with Browser(program, tmp_path) as browser:
        browser.open(Path(written["html"]).as_uri())
        browser.until("document.documentElement.dataset.drawn !== undefined")
        plots = browser.evaluate(
            "[...document.querySelectorAll('.plot')].map(p => "
            "[p.id, (p.querySelector('svg.main-svg') ?? p).getBoundingClientRect().width, "
            "p.querySelectorAll('.trace, .contourlayer path, .heatmaplayer image').length])"
        )
        assert len(plots) == len(written["png"])
        for name, width, marks in plots:
            assert width > 300, name
            assert marks > 0, name
        assert browser.evaluate("document.querySelector('h1').textContent") == "models"
        assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert [url for url in browser.requested if not url.startswith(("file:", "data:", "blob:"))] == []
        assert browser.complaints == []


class Browser:
    """A headless browser, spoken to over a pair of pipes.

    Attributes:
        requested: The address of everything that the page asked for.
        complaints: Errors and warnings of the page's scripts and of the browser about them.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self.requested: list[str] = []
        self.complaints: list[str] = []
        self._number = 0
        self._rest = b""
        from_us, self._to = os.pipe()
        self._from, to_us = os.pipe()
        # It reads from descriptor 3 and writes to 4, whatever the ends of our pipes are called.
        redirect = f'exec "$0" "$@" 3<&{from_us} 4>&{to_us}'
        self._process = subprocess.Popen(
            ["bash", "-c", redirect, program, *FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"],
            pass_fds=(from_us, to_us),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(from_us)
        os.close(to_us)
        pages = self._call("Target.getTargets", session=False)["targetInfos"]
        target = next(each["targetId"] for each in pages if each["type"] == "page")
        self._session = ""
        attached = self._call("Target.attachToTarget", session=False, targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Network", "Runtime", "Log", "Page"):
            self._call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait(10)
        os.close(self._to)
        os.close(self._from)

    def open(self, url: str) -> None:
        self._call("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        return self._call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def until(self, expression: str, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not self.evaluate(expression):
            assert time.monotonic() < deadline, (expression, self.complaints)

    def _call(self, method: str, *, session: bool = True, **parameters: Any) -> Any:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def _read(self, seconds: float = 60.0) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], seconds)
            assert ready, "the browser says nothing any more"
            more = os.read(self._from, 65_536)
            assert more, "the browser has ended"
            self._rest += more
        text, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(text)
        return found

    def _note(self, event: dict[str, Any]) -> None:
        details = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requested.append(details["request"]["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(details["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if details["type"] in ("error", "warning", "assert"):
                self.complaints.append(json.dumps(details["args"]))
            case "Log.entryAdded" if details["entry"]["level"] in ("error", "warning"):
                self.complaints.append(details["entry"]["text"])
