"""The page as HTML: its content, and that foreign text cannot become markup."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from made_facts import FAIL, RUNNING, attempt, facts, ordinary, trial
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from orchestrator.common import data_folder
from orchestrator.report import page, trial_table, write_files
from orchestrator.report.all_plots import draw
from orchestrator.report.facts import Facts

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&$x^2$"


class Elements(HTMLParser):
    """Collects elements with their attributes, and what is text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] not in ("script", "style"):
            self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for each, attributes in self.found if each == tag]


def rendered(of: Facts) -> tuple[str, Elements]:
    text = page.render(of, draw(of, lambda _: None))
    return text, Elements(text)


def test_the_page_has_headings_contents_and_plots() -> None:
    _, elements = rendered(ordinary())
    assert len(elements.named("h1")) == 1
    targets = {each["id"] for each in elements.named("section")}
    links = {str(each["href"]).removeprefix("#") for each in elements.named("a")} - {"main"}
    assert links == targets
    places = {each["id"] for each in elements.named("div") if each.get("class") == "plot"}
    data = {each["data-plot"] for each in elements.named("script") if "data-plot" in each}
    assert places == data
    assert len(places) == 12, "ten plots, of which the slices are three"
    assert "15 complete" not in elements.text
    assert "12 complete, 1 pruned, 1 failed" in elements.text


def test_the_best_model_is_named_with_id_and_place() -> None:
    record = {"artifact_id": "abc-1", "filename": "model.pt", "mimetype": "x", "encoding": None}
    kept: dict[str, Any] = {
        "artifacts:abc-1": json.dumps(record),
        "orchestrator:artifact:abc-1": {"kind": "model", "size": 1, "at": 1.0},
        "artifacts:gone": "",
    }
    text, elements = rendered(facts([trial(0, values=[0.25], system_attrs=kept)]))
    assert "The model of the best trial is model.pt.\nWhere it is/models/abc-1" in elements.text
    assert "model.pt (model)" in elements.text
    assert "Models and files lie in /models." in elements.text
    outside = re.sub("<details>.*?</details>|<script.*?</script>", "", text, flags=re.DOTALL)
    assert "abc-1" not in outside, "an id is shown on request alone"


def test_no_password_is_on_the_page() -> None:
    text, elements = rendered(ordinary())
    assert "secret" not in text
    assert "postgresql://me:***@host/db" in elements.text


def test_foreign_text_is_text() -> None:
    space = {EVIL: CategoricalDistribution([EVIL, "b"]), "y": CategoricalDistribution([EVIL + "2", EVIL])}
    trials = [
        trial(number, params={EVIL: [EVIL, "b"][number % 2], "y": EVIL}, space=space, curve=[1.0])
        for number in range(9)
    ]
    failure = {"cause": EVIL, "error": EVIL, "message": EVIL}
    trials.append(trial(9, FAIL, user_attrs={"failure": failure}))
    text, elements = rendered(facts(trials, objective="a:b", args={"a": EVIL}))
    scripts = [each for each in elements.named("script") if "type" not in each]
    assert len(scripts) == 2
    assert elements.named("img") == []
    assert EVIL[:40] in elements.text
    held = re.findall(r"<script type=application/json ([a-z]+)[^>]*>(.*?)</script>", text, re.DOTALL)
    assert {kind for kind, _ in held} == {"data", "id"}
    for kind, data in held:
        assert "<" not in data
        # Plotly takes markup in a text; the table of trials is built of text alone.
        assert kind == "id" or "<img" not in json.dumps(json.loads(data))


def test_scripts_are_allowed_by_digest_and_nothing_is_fetched() -> None:
    text, elements = rendered(ordinary())
    policy = str(elements.named("meta")[1]["content"])
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    for tag, attributes in elements.found:
        for name in ("src", "href"):
            assert str(attributes.get(name, "#")).startswith(("#", "data:")), tag
    assert text.count("plotly.js v") == 1
    assert len(text) < 6_000_000


def test_an_empty_search_is_a_page_too() -> None:
    _, elements = rendered(facts([]))
    assert elements.text.count("The study has no trials yet.") >= 8
    assert "There is no best trial: none completed." in elements.text


@pytest.mark.parametrize(
    "name", ["digits", "../../etc/passwd", "a/b", ".", "..", "", "-rf", "ä ö", "x" * 300, "con\0trol", EVIL]
)
def test_any_study_has_a_folder_of_its_own_below_reports(tmp_path: Path, name: str) -> None:
    folder = data_folder.folder_of(tmp_path, name)
    assert folder.parent == tmp_path / "reports"
    assert folder.resolve().parent == folder.parent.resolve()
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", folder.name)
    assert len(folder.name) <= 100
    assert (folder.name == name) == (name == "digits")


def test_a_second_report_replaces_the_first_and_leaves_what_is_not_its_own(tmp_path: Path) -> None:
    first = write_files.write(ordinary(), tmp_path, lambda _: None)
    (tmp_path / "png" / "Notes.png").write_text("mine")
    assert {path.name for path in first.png} >= {"history.png", "slice-1.png", "timeline.png"}
    second = write_files.write(facts([trial(0)]), tmp_path, lambda _: None)
    assert second.html == first.html
    assert "somewhere:objective" in second.html.read_text()
    assert {path.name for path in (tmp_path / "png").iterdir()} == {"history.png", "Notes.png"}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_every_parameter_has_a_column_and_the_first_sentence_is_short() -> None:
    space: dict[str, BaseDistribution] = {f"p{index}": FloatDistribution(0.0, 1.0) for index in range(12)}
    whole = trial(0, params=dict.fromkeys(space, 0.5), space=space)
    part = trial(1, params={"p0": 0.25}, space={"p0": space["p0"]})
    _, elements = rendered(facts([whole, part]))
    table = elements.text.split("Best trials")[2].partition("Optimization history")[0]
    assert "".join(space) in table
    assert "p7=0.5 and 4 other parameters." in elements.text
    assert "models and files" not in table, "none was saved"


def test_the_table_of_trials_has_every_trial_and_every_parameter() -> None:
    text, _ = rendered(ordinary())
    (held,) = re.findall(r"id=trials-data>(.*?)</script>", text, re.DOTALL)
    table = json.loads(held)
    assert table["columns"] == ["trial", "state", "value", "epochs", "seconds", "cause", "lr", "x", "kind"]
    assert [row[0] for row in table["rows"]] == list(range(15))
    assert [row[1] for row in table["rows"][11:]] == ["complete", "pruned", "failed", "running"]
    assert table["rows"][13][:6] == [13, "failed", None, 0, 9.0, "E"]
    assert table["rows"][2][-1] == "None", "a choice that is None, and not a parameter that is missing"


def test_states_have_the_words_of_every_other_view() -> None:
    waiting = TrialState.WAITING
    trials = [trial(0, RUNNING), trial(1, RUNNING), trial(2, RUNNING), trial(3, waiting), trial(4, RUNNING)]
    attempts = [
        attempt(0, 0, 1, state="paused"),
        attempt(1, 0, None, state="sent"),
        attempt(2, 0, None, state="running"),
    ]
    found = facts(trials, attempts)
    words = [row[1] for row in trial_table.table(found)["rows"]]
    assert words == ["on rung", "queued", "running", "waiting", "running"]
    gone = replace(found, state="unattended")
    assert [row[1] for row in trial_table.table(gone)["rows"]][2] == "unattended"
    _, elements = rendered(gone)
    assert "The search is unattended" in elements.text


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution:UserWarning")
def test_cells_of_the_table_are_numbers_or_text() -> None:
    space: dict[str, BaseDistribution] = {
        "many": CategoricalDistribution([[1, 2], "a\nb", True, None]),
        "large": FloatDistribution(0.0, 1e300),
    }
    values = [math.inf, 0.1234567, 3.0, -math.inf]
    trials = [
        trial(n, values=[value], params={"many": choice, "large": 1e299 if n else 2**60}, space=space)
        for n, (value, choice) in enumerate(zip(values, [[1, 2], "a\nb", True, None], strict=True))
    ]
    trials.append(trial(4, values=[0.0], params={}, space=space, system_attrs={"constraints": [1.0]}))
    found = trial_table.table(facts(trials))
    assert found["columns"] == ["trial", "state", "value", "constraints", "epochs", "many", "large"]
    assert [row[2] for row in found["rows"]] == ["inf", 0.123457, 3.0, "-inf", 0.0]
    assert [row[3] for row in found["rows"]] == ["met", "met", "met", "met", "violated"]
    assert [row[5] for row in found["rows"]] == ["[1, 2]", "a b", "True", "None", None]
    json.dumps(found, allow_nan=False)


def test_a_person_reads_no_null() -> None:
    shown = page.spec_json(ordinary().spec)
    assert "null" not in shown
    assert json.loads(shown)["max_steps"] == 9


def test_objectives_have_the_names_that_the_study_gives_them() -> None:
    trials = [trial(number, values=[number / 8, (number * 3) % 8 / 8]) for number in range(8)]
    found = replace(facts(trials, directions=["maximize", "minimize"]), metric_names=["accuracy", "<i>size</i>"])
    plots = {plot.id: plot for plot in draw(found, lambda _: None)}
    titles = [figure.layout.yaxis.title.text for figure in plots["history"].figures]
    assert titles == ["accuracy (maximize)", "&lt;i&gt;size&lt;/i&gt; (minimize)"]
    assert trial_table.table(found)["columns"][2:4] == ["accuracy", "<i>size</i>"]
