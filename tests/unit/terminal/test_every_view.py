"""Every view with whatever names, values and sizes there may be: lines that fit, and nothing that a terminal obeys."""

from __future__ import annotations

import io
import math
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_notices import ended, folded, progress, slot
from made_trials import NOW, head, listed
from recorded_trials import facts
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType

from orchestrator.api.shown import as_text
from orchestrator.doctor import render as doctor
from orchestrator.doctor.finding import Code
from orchestrator.model.fleet import FleetSlot, FleetWorker
from orchestrator.model.planned_run import PlannedRun, RunResult
from orchestrator.model.progress_events import Best, Optimum
from orchestrator.model.records import EnqueuedTrial, RecordedTrial, Recording
from orchestrator.model.search_summary import Model, NotStored, Summary, percentiles
from orchestrator.model.study_status import NotificationStatus, Overview
from orchestrator.queries.best_trials import BestTrial
from orchestrator.queries.comparison import ComparedStudy, Comparison
from orchestrator.queries.replay import Result, Together
from orchestrator.queries.rule_tuning import Judged
from orchestrator.queries.stored_models import StoredModel
from orchestrator.schedule.folder import Schedule
from orchestrator.schedule.schedule_status import ScheduleStatus
from orchestrator.spec import parse
from orchestrator.terminal import (
    best_view,
    comparison_table,
    live_frame,
    model_table,
    overview,
    replay_table,
    schedule_table,
    summary,
    trial_table,
    tuning_table,
    worker_table,
)
from orchestrator.terminal.log_view import LineView
from orchestrator.terminal.table_layout import wrapped
from orchestrator.terminal.why_text import explain

AT = NOW.timestamp()
WIDTHS = (20, 40, 80, 200)
FOREIGN = ("超参数搜索", "a\u0301\u0323", "שלום", "\u202eabc", "\u200b", "👩\u200d🔬", "\ud7ff", "ﷺ", "x" * 200)
HOSTILE = ("\x1b[31m", "\x07", "a\r\nb", "\x9b2J", "\u2028", "<b>", "[red]")
PIECES = st.sampled_from(["digits", *FOREIGN, *HOSTILE])
NAMES = st.lists(PIECES, min_size=1, max_size=3).map("".join)
VALUES = st.sampled_from([0.0, -0.0, 1e-300, 5e-324, 1e308, -1e9, 0.5, math.nan, math.inf, -math.inf])
PARAMS = st.dictionaries(NAMES | st.integers(0, 99).map("p{}".format), VALUES | NAMES | st.booleans(), max_size=8)


class Content(msgspec.Struct):
    """What the views are made of."""

    name: str
    other: str
    text: str
    value: float
    params: dict[str, Any]
    few: int


CONTENTS = st.builds(
    Content, name=NAMES, other=NAMES, text=NAMES, value=VALUES, params=PARAMS, few=st.sampled_from([0, 1, 3])
)
SCHEDULED = """
name = "nightly"
objective = "m:f"
trials = 3
[schedule]
cron = "30 2 * * *"
timezone = "Europe/Berlin"
jitter = "4h"
"""
MANY = Content("digits", "other", "text", 0.5, {f"parameter_{n}": n / 7 for n in range(60)}, 10_000)


def progress_of(it: Content) -> Any:
    best = Best(number=4, value=it.value, params=it.params)
    return progress(study=it.name, reason=it.text, best=best, complete=it.few, slots=(slot(0, slot=it.other),))


def overview_of(it: Content) -> Overview:
    notes = (NotificationStatus(it.text, "post", "failed", 3, it.other, AT),)
    return Overview(progress_of(it), AT - 60, AT - 30, notes=notes, flagged=it.text)


def watch(it: Content, width: int) -> Sequence[RenderableType]:
    state = folded([ended(params=it.params, detail=it.text, values=(it.value,)), progress_of(it)])
    return [live_frame.render(state, width, 24)]


def ls(it: Content, width: int) -> Sequence[RenderableType]:
    return [overview.render_list([overview_of(it)] * min(it.few, 50), width, AT)]


def status(it: Content, width: int) -> Sequence[RenderableType]:
    return [overview.render_status(overview_of(it), width, AT)]


def trials(it: Content, width: int) -> Sequence[RenderableType]:
    found = [
        listed(head(n, "COMPLETE", it.value), slot=it.other, params=it.params, user_attrs={"failure": it.text})
        for n in range(min(it.few, 50))
    ]
    lines, left_out = trial_table.render(found, [0], 1, width, NOW)
    return [*lines, *trial_table.remarks(len(found), it.few, True, 1, 1, left_out)]


def workers(it: Content, width: int) -> Sequence[RenderableType]:
    slots = tuple(FleetSlot(f"{it.other}/{n}", "gpu", it.name, n, busy=True, heard=1.0) for n in range(min(it.few, 9)))
    return [worker_table.render([FleetWorker(it.other, it.name, (it.text,), slots=slots)], width)]


def compare(it: Content, width: int) -> Sequence[RenderableType]:
    best = [BestTrial(it.name, 1, (it.value,), ("minimize",), it.params, {})]
    one = ComparedStudy(overview_of(it), {it.text: it.text}, ("minimize",), best, [(1, it.value)], 7, None)
    return [comparison_table.render(Comparison([one, one], {it.text: [it.other, None]}), width)]


def models(it: Content, width: int) -> Sequence[RenderableType]:
    found = [StoredModel(it.name, n, it.text, f"id-{n}", 7, AT) for n in range(min(it.few, 50))]
    return [model_table.render(found, ["id-1"], "/models", width)]


def replay(it: Content, width: int) -> Sequence[RenderableType]:
    study = facts(study="finished").study
    recording = Recording(
        study, {n: RecordedTrial("COMPLETE", it.value, 0.0, 1.0) for n in range(2)}, [(0, 1, it.value)]
    )
    results = [Result(it.text, "median", False, 7, 3, {1: 2}, 0, None, 1, it.value, 1, 1, None)]
    sums = [Together(it.text, 2, 7, 9, 1, 2, 0)]
    return [*replay_table.render(recording, results, width), *replay_table.render_together(sums, width)]


def tune_rule(it: Content, width: int) -> Sequence[RenderableType]:
    study = facts(study="finished").study
    judged = [Judged(f"median n={n}", False, 4, 0.5, 0.1, 0.0, 0.0, 1.0) for n in range(min(it.few, 9))]
    return list(tuning_table.render([Recording(study, {}, [])], judged, width))


def schedule(it: Content, width: int) -> Sequence[RenderableType]:
    spec = parse(SCHEDULED, "nightly.toml")
    assert spec.schedule is not None
    result = RunResult("finished", it.few, best=it.value, best_trial=1)
    of_a_run = {"reason": it.text, "report": it.other, "result": result}
    runs: list[tuple[PlannedRun, Overview | None]] = [
        (PlannedRun("nightly", int(AT), "ended", it.name, AT, **of_a_run), overview_of(it) if n else None)
        for n in range(min(it.few, 9))
    ]
    times = [int(AT) + n * 86_400 for n in range(3)]
    found = Schedule(Path(f"{it.other}.toml"), spec, spec.schedule)
    status = ScheduleStatus(found, times, times[: it.few], seen=bool(it.few), runs=runs, trend=runs)
    return [schedule_table.render([status], {Path(it.text): it.name}, width, AT)]


TABLES: list[Callable[[Content, int], Sequence[RenderableType]]] = [
    *(watch, ls, status, trials, workers, compare, models, replay, tune_rule, schedule),
]
"""What keeps to the width."""


def best(it: Content, _: int) -> Sequence[RenderableType]:
    model = StoredModel(it.name, 1, it.text, "id", 7, AT)
    found = BestTrial(it.name, 1, (it.value,), ("minimize",), it.params, {}, step=3, models=(model,))
    return [best_view.render([found])]


def why(it: Content, width: int) -> Sequence[RenderableType]:
    failure = {"cause": "exception", "error": it.name, "message": it.text, "traceback": it.text}
    text = explain(facts("FAIL", failure=failure, params=it.params))
    return ["\n".join(row for line in text.split("\n") for row in wrapped(line, width))]


def result(it: Content, width: int) -> Sequence[RenderableType]:
    told = Summary(
        study=it.name,
        storage=it.other,
        state="failed",
        reason=it.text,
        best=Best(number=1, value=it.value, params=it.params),
        model=Model(filename=it.text, artifact_id="a", location=it.other),
        not_stored=(NotStored(trial=1, filename=it.name, problem=it.text),),
        prune_latency_ms=percentiles([0.001] * min(it.few, 99)),
    )
    several = msgspec.structs.replace(told, best=None, front=(Optimum(number=1, values=(it.value,), params=it.params),))
    return [summary.render_summary(each, width) for each in (told, several)]


def examination(it: Content, _: int) -> Sequence[RenderableType]:
    found = [Code.STUDY_FAILED.finding(it.name, it.text, it.other, command=it.name, details=(it.text,))]
    return [doctor.render(found)]


def lines_of_a_run(it: Content, _: int) -> Sequence[RenderableType]:
    stream = io.StringIO()
    view = LineView(stream)
    view.show(ended(params=it.params, detail=it.text), 1.0)
    view.show(progress_of(it), 2.0)
    view.say(it.text)
    return [stream.getvalue().rstrip("\n")]


def enqueued(it: Content, _: int) -> Sequence[RenderableType]:
    return list(trial_table.enqueued_lines([EnqueuedTrial(params=it.params)] * min(it.few, 30)))


VIEWS = [*TABLES, best, why, result, examination, lines_of_a_run, enqueued]
"""All. Text that a person copies stays whole, however long it is."""


def on_terminal(parts: Sequence[RenderableType], width: int, encoding: str, environ: dict[str, str]) -> str:
    """Returns what `show` writes to a terminal."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="replace", newline="")
    console = Console(
        file=file, width=width, force_terminal=True, highlight=False, markup=False, emoji=False, _environ=environ
    )
    console.print(Group(*parts), crop=False)
    file.flush()
    return raw.getvalue().decode(encoding)


def obeyed(text: str) -> set[str]:
    """Returns the characters that a terminal obeys instead of showing them."""
    return {
        each for each in text if unicodedata.category(each) in ("Cc", "Cf", "Zl", "Zp") and each not in "\n\u200c\u200d"
    }


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
@settings(max_examples=12)
@given(it=CONTENTS, width=st.sampled_from(WIDTHS))
def test_any_content(view: Callable[[Content, int], Sequence[RenderableType]], it: Content, width: int) -> None:
    plain = as_text(*view(it, width), width=width)
    assert not obeyed(plain), plain
    assert not [line for line in plain.splitlines() if line != line.rstrip()]
    assert "99th percentile" not in plain
    if view in TABLES:
        assert all(cell_len(line) <= width for line in plain.splitlines()), plain
    unbounded = as_text(*view(it, 10_000), width=10_000)
    assert not obeyed(unbounded)
    for encoding in ("ascii", "utf-8"):
        for environ in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            seen = on_terminal(view(it, width), width, encoding, environ)
            assert "\x1b[3" not in seen, "no colour"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
def test_many_trials_and_parameters(view: Callable[[Content, int], Sequence[RenderableType]], width: int) -> None:
    plain = as_text(*view(MANY, width), width=width)
    if view in TABLES:
        assert all(cell_len(line) <= width for line in plain.splitlines()), plain


def test_parameters_stand_in_the_order_in_which_they_were_asked() -> None:
    it = msgspec.structs.replace(MANY, params={"zeta": 1.0, "alpha": 2.0, "mid": 3.0}, few=1)
    for view in (watch, status, trials, compare, best, result, enqueued):
        plain = as_text(*view(it, 200), width=200)
        places = [plain.index(name) for name in it.params]
        assert places == sorted(places), view.__name__
