"""One word for each state, in the docs and in every view."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from made_notices import progress
from made_trials import NOW as TRIALS_NOW
from made_trials import head, listed
from recorded_trials import attempt, facts
from rich.console import Console, RenderableType

from orchestrator.model.lifecycle import AttemptState
from orchestrator.model.progress_events import Progress
from orchestrator.model.search_summary import Summary
from orchestrator.model.state_words import OF_ATTEMPTS, OF_STUDIES, OF_TRIALS, StateWord, study_word, trial_word
from orchestrator.model.study_states import ENDED, OPTUNAS, StudyState
from orchestrator.model.study_status import Absence, Overview
from orchestrator.model.suspension import Suspension
from orchestrator.queries.trial_selection import standing
from orchestrator.terminal import live_frame, log_view, overview, summary, trial_table, why_text
from orchestrator.terminal.live_state import ViewState, fold
from tests.states_table import tables

pytestmark = pytest.mark.usefixtures("shell")

PAGE = Path(__file__).parents[3] / "docs" / "lifecycle.md"
NOW = 1_700_000_100.0
GONE = 1_700_000_000.0
STUDIES = [each.data for each in OF_STUDIES]


def printed(view: RenderableType, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False)
    console.print(view)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_page_has_the_tables() -> None:
    for table in tables().values():
        assert table in PAGE.read_text(), "python -m tests.states_table makes them"


def test_no_state_is_without_a_word() -> None:
    assert {*get_args(StudyState), OPTUNAS} <= set(STUDIES)
    told = {state for each in OF_ATTEMPTS for state in each.stored.split(", ")}
    assert told == {state.value for state in AttemptState}
    optunas = {each.stored.partition(";")[0] for each in OF_TRIALS}
    assert optunas == {"WAITING", "RUNNING", "COMPLETE", "PRUNED", "FAIL"}


def test_no_word_means_two_things() -> None:
    for words in (OF_STUDIES, OF_TRIALS, OF_ATTEMPTS):
        assert len({each.word for each in words}) == len(words)
    paused = [each for each in (*OF_STUDIES, *OF_TRIALS, *OF_ATTEMPTS) if each.word == "paused"]
    assert [each.means.split(":")[0] for each in paused] == ["a person paused it"]


def of(state: str) -> Overview:
    absence = Absence(GONE, alone=True) if state in ("unattended", "interrupted") else None
    suspended = Suspension("its rows are spoilt", GONE) if state == "suspended" else None
    return Overview(progress(state=state), GONE - 60, GONE, absence=absence, suspended=suspended)


VIEWS: dict[str, Callable[[Progress], str]] = {
    "ls": lambda found: printed(overview.render_list([of(found.state)], 200, NOW)),
    "status": lambda found: printed(overview.render_status(of(found.state), 200, NOW)),
    "run, watch": lambda found: printed(live_frame.render(fold(ViewState(), found, 1.0), 200, 50)),
    "their log": log_view.state_line,
    "the summary of run": lambda found: summary.render_summary(
        Summary(study="digits", storage="sqlite:///x", state=found.state), 80
    ),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("state", STUDIES)
def test_every_view_of_a_study_has_the_word(view: str, state: str) -> None:
    text = VIEWS[view](progress(state=state))
    first = text.splitlines()[1 if view in ("ls", "the summary of run") else 0]
    assert study_word(state) in first
    others = {each.word for each in OF_STUDIES} - {study_word(state)}
    words = first.replace("Optuna's", "Optuna").replace(" running", "", 0).split()
    assert not others & set(words) - {"running", "failed"}, "those two are counts, too"
    if state != "running":
        assert not first.startswith(("digits  running", "study digits running"))


@pytest.mark.parametrize("state", STUDIES)
def test_programs_read_the_second_column(state: str) -> None:
    found = overview.to_json(of(state), NOW)
    assert found["state"] == state
    unseen = {"seen": False, "unseen_since": GONE} if state in ("unattended", "interrupted") else None
    needs_none = state in (*ENDED, OPTUNAS, "suspended")
    assert found["control_plane"] == (None if needs_none else unseen or {"seen": True, "unseen_since": None})


def test_without_a_control_plane_ls_and_status_say_since_when() -> None:
    for view in ("ls", "status"):
        text = VIEWS[view](progress(state="unattended"))
        assert "no control plane has been seen since 20" in text
        assert "1 min ago" in text
        assert "'orchestrator resume digits'" in text
        assert " running" not in text.replace("running  pruned", "")


LIVE: dict[str, dict[str, Any]] = {
    "waiting": {"state": "WAITING"},
    "queued": {"state": "RUNNING", "live": "sent"},
    "running": {"state": "RUNNING", "live": "running"},
    "unattended": {"state": "RUNNING", "live": "running", "attended": False},
    "on rung": {"state": "RUNNING", "live": "paused"},
    "complete": {"state": "COMPLETE"},
    "pruned": {"state": "PRUNED"},
    "failed": {"state": "FAIL"},
}


@pytest.mark.parametrize("word", OF_TRIALS, ids=lambda each: each.word)
def test_every_view_of_a_trial_has_the_word(word: StateWord) -> None:
    made = LIVE[word.word]
    trial = head(3, made["state"], live=made.get("live", ""), attended=made.get("attended", True))
    assert trial_word(trial.state, trial.live, attended=trial.attended) == word.word
    state, counted = word.data.split("; ")
    assert standing(trial) == state
    assert hasattr(progress(), counted)
    lines, _ = trial_table.render([listed(trial)], [], 1, 200, TRIALS_NOW)
    assert ("FAIL" if word.word == "failed" else word.word.upper()) in lines[1].plain


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"enqueued": 3}, "3 waiting"),
        ({"waiting": 4}, "4 queued"),
        ({"running": 2}, "2 running"),
        ({"running": 2, "state": "unattended"}, "2 unattended"),
        ({"paused": 6}, "6 on rung"),
        ({"complete": 8}, "8 complete"),
        ({"pruned": 9}, "9 pruned"),
        ({"failed": 7}, "7 failed"),
    ],
)
def test_counts_have_the_same_words(changes: dict[str, Any], word: str) -> None:
    found = progress(**changes)
    assert word in printed(live_frame.render(fold(ViewState(), found, 1.0), 200, 50))
    assert word in printed(overview.render_status(Overview(found, NOW, NOW), 200, NOW))


@pytest.mark.parametrize(
    ("attempts", "changes", "words"),
    [
        ([], {"state": "WAITING"}, "waits to be asked for"),
        ([attempt(1, "done", cause="not started")], {"state": "WAITING"}, "waits to be asked for again"),
        ([attempt(1, "sent")], {}, "waits in the queue"),
        ([attempt(1, "sent")], {"attended": False}, "waits in the queue, and the study is unattended"),
        ([attempt(1, "running")], {}, "is running"),
        ([attempt(1, "running")], {"attended": False}, "is unattended"),
        ([attempt(1, "paused")], {}, "is on a rung"),
    ],
)
def test_why_has_them_too(attempts: list[Any], changes: dict[str, Any], words: str) -> None:
    given = {"state": "RUNNING"} | changes
    assert words in why_text.explain(facts(given.pop("state"), attempts=attempts, **given)).splitlines()[0]
