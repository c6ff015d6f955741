"""`report` as a user calls it: on a search that was really run, opened in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet import Fleet, fleet

from tests.browser import Browser

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
    place = text[text.index("<summary>Where it is</summary>") :].partition("<code>")[2].partition("</code>")[0]
    assert "<strong>model.pt</strong>" in best
    assert Path(place).is_file()
    assert Path(place).parent == searched.folder / "data" / "artifacts"


def test_an_unknown_study_is_one_line(searched: Fleet) -> None:
    done = searched.call("report", "modles")
    assert done.returncode == 2
    assert done.stderr.startswith("orchestrator: study 'modles': there is none of that name")
    assert len(done.stderr.splitlines()) == 1


def test_a_browser_draws_every_plot_and_fetches_nothing(written: dict[str, Any], tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
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
