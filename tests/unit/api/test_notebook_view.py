"""The view in a notebook: what it displays, how often, and that its plots tell the values apart."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from orchestrator.api.notebook_plots import HEIGHT, WIDTH, History, best_plot, curves_plot, value_range
from orchestrator.api.notebook_view import DRAW_SECONDS, NotebookView
from orchestrator.model.progress_events import Best, Notice, Progress, SlotLine, TrialEnded


class Page:
    """Takes what a notebook would show; ``now`` is the clock."""

    def __init__(self) -> None:
        self.drawn: list[tuple[dict[str, str], str, bool]] = []
        self.now = 0.0

    def show(self, data: dict[str, str], display_id: str, again: bool) -> None:
        self.drawn.append((data, display_id, again))

    def view(self) -> NotebookView:
        return NotebookView(self.show, lambda: self.now)

    @property
    def html(self) -> str:
        return self.drawn[-1][0]["text/html"]


def progress(ended: int = 0, best: float | None = None, **more: Any) -> Progress:
    given: dict[str, Any] = {"study": "one", "state": "running", "reason": "", "budget": 10, "complete": ended, **more}
    return Progress(**given, best=None if best is None else Best(number=0, value=best, params={"x": 1.0}))


def ended(number: int, value: float, state: str = "COMPLETE", **more: Any) -> TrialEnded:
    given: dict[str, Any] = {"epochs": 3, "seconds": 1.0, "params": {"x": 0.5}, **more}
    return TrialEnded(number=number, state=state, values=(value,), **given)


def slot(trial: int, step: int, value: float) -> SlotLine:
    return SlotLine(slot=f"w@h/{trial % 2}", device="cpu", trial=trial, attempt=1, epochs=step, step=step, value=value)


def drawn(page: Page, *notices: Notice) -> str:
    view = page.view()
    for notice in notices:
        page.now += DRAW_SECONDS
        view.show(notice, page.now)
    view.close()
    return page.html


def test_it_is_redrawn_in_place_and_not_more_often_than_is_read() -> None:
    page = Page()
    view = page.view()
    view.say("starting the workers of 'one'")
    view.show(progress(), 0.0)
    for _ in range(50):
        page.now += DRAW_SECONDS / 10
        view.show(progress(), page.now)
    view.close()
    view.close()
    assert 5 <= len(page.drawn) <= 8
    assert {display_id for _, display_id, _ in page.drawn} == {page.drawn[0][1]}
    assert [again for *_, again in page.drawn] == [False, *[True] * (len(page.drawn) - 1)]
    assert "starting the workers of &#x27;one&#x27;" in page.html


def test_two_views_are_drawn_in_places_of_their_own() -> None:
    one, other = Page(), Page()
    drawn(one, progress())
    drawn(other, progress())
    assert one.drawn[0][1] != other.drawn[0][1]


def test_tables_and_plots_show_what_happens() -> None:
    page = Page()
    html = drawn(
        page,
        progress(slots=(slot(0, 1, 5.0), slot(1, 1, 6.0))),
        progress(slots=(slot(0, 2, 4.0), slot(1, 2, 5.5)), max_steps=27),
        ended(0, 3.5),
        progress(1, 3.5, slots=(slot(2, 1, 7.0), slot(1, 3, 5.0)), max_steps=27),
    )
    assert html.count("<svg") == 2
    assert html.count("<table") == 2
    assert "1/10 trials" in html
    assert "3/27" in html
    assert "COMPLETE" in html
    assert "1/10 trials" in page.drawn[-1][0]["text/plain"], "a front end without HTML shows the terminal's frame"


def test_names_and_errors_of_users_are_no_markup() -> None:
    evil = "<script>alert(1)</script>"
    html = drawn(
        Page(),
        ended(0, 1.0, "FAIL", detail=f"ValueError: {evil}", params={evil: evil}),
        progress(1, 1.0, study=evil, reason=evil, slots=(slot(1, 1, 2.0),)),
    )
    assert "<script" not in html
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize(
    "notices",
    [
        [progress()],
        [progress(front=2, complete=3)],
        [ended(0, math.nan), progress(1)],
        [ended(0, math.inf), progress(1, math.inf)],
        [progress(slots=(slot(0, 1, math.nan), slot(1, 1, -math.inf)))],
        [ended(0, 1e300), ended(1, -1e300), progress(2, -1e300)],
        [ended(number, 2.0) for number in range(20)] + [progress(20, 2.0)],
        [progress(state="finished", slots=())],
    ],
)
def test_any_study_can_be_drawn(notices: list[Notice]) -> None:
    html = drawn(Page(), *notices)
    for x, y in re.findall(r"(-?[\d.]+|nan|inf),(-?[\d.]+|nan|inf)[ \"]", html):
        assert 0 <= float(x) <= WIDTH
        assert 0 <= float(y) <= HEIGHT
    assert "nan," not in html


def test_one_diverged_trial_does_not_hide_the_others() -> None:
    history = History()
    for number, value in enumerate([1.0, 1.2, 0.9, 1.1, 0.8, 1.3, 0.95, 1.05, 1e6]):
        history.add(ended(number, value))
        history.add(progress(number + 1, min(value, 0.8) if number > 3 else 0.9))
    plot = best_plot(history, several=False)
    assert "1 trial beyond the axis" in plot
    heights = {float(y) for y in re.findall(r'cy="([\d.]+)"', plot)}
    assert max(heights) - min(heights) > HEIGHT / 4


def test_the_line_of_the_best_runs_to_the_last_trial() -> None:
    history = History()
    history.add(progress(1, 3.0))
    history.add(progress(8, 3.0))
    (line,) = re.findall(r'points="([^"]+)"', best_plot(history, several=False))
    assert float(line.split()[-1].partition(",")[0]) == pytest.approx(WIDTH - 10, abs=1)


def test_curves_are_bounded_and_those_that_run_stand_out() -> None:
    history = History()
    for trial in range(100):
        for step in range(3):
            history.add(progress(slots=(slot(trial, step, float(trial + step)),)))
    plot = curves_plot(history, {99})
    assert plot.count("<polyline") <= 30
    assert plot.count("#ff7f0e") == 1


@pytest.mark.parametrize("values", [[0.0], [5.0, 5.0], [-1e300, 1e300], [1.0, 2.0, 3.0], list(map(float, range(100)))])
def test_an_axis_has_two_ends(values: list[float]) -> None:
    low, high = value_range(values, [])
    assert low < high
    assert all(low <= value <= high for value in values)
