"""The plots: what they draw, why some are absent, and that every figure becomes a PNG."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from made_facts import COMPLETE, FAIL, NOW, PRUNED, attempt, facts, ordinary, trial
from optuna.distributions import CategoricalDistribution, FloatDistribution

from orchestrator.report.all_plots import draw
from orchestrator.report.contour_plots import ticks
from orchestrator.report.curve_plots import curves
from orchestrator.report.facts import PAUSED, RETRIED, RUNNING, Facts
from orchestrator.report.plot import Plot
from tests.later import Later

png = Later("orchestrator.report.png")


def drawn(of: Facts) -> dict[str, Plot]:
    return {plot.id: plot for plot in draw(of, lambda _: None)}


def test_an_ordinary_search_has_every_plot_and_each_can_be_a_png() -> None:
    plots = drawn(ordinary())
    assert {id: plot.absent for id, plot in plots.items() if plot.absent} == {}
    assert list(plots) == [
        *("history", "curves", "slice", "importances", "parallel", "contour"),
        *("timeline", "saved", "latency", "failures"),
    ]
    for plot in plots.values():
        for figure in plot.figures:
            assert figure.data
            assert png.render(figure, plot.title).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("trials", "says"),
    [
        ([], "The study has no trials yet."),
        ([trial(0, FAIL)], "No trial has completed."),
        ([trial(0, values=[math.inf])], "No trial completed with a value that can be drawn."),
    ],
)
def test_a_search_without_results_says_so(trials: list[Any], says: str) -> None:
    plots = drawn(facts(trials))
    assert plots["history"].absent == says
    assert all(plot.absent for id, plot in plots.items() if id != "failures")
    assert bool(plots["failures"].absent) == (not trials or trials[0].state is not FAIL)


def test_one_trial_has_a_history_and_nothing_to_compare() -> None:
    plots = drawn(facts([trial(0, curve=[0.5])]))
    assert not plots["history"].absent
    assert not plots["curves"].absent
    for id in ("slice", "importances", "parallel", "contour"):
        assert plots[id].absent == "One completed trial is nothing to compare with."


def test_a_pruned_curve_ends_at_a_cross() -> None:
    figure = drawn(facts([trial(0, curve=[0.1, 0.2]), trial(1, PRUNED, [0.4], [0.3, math.nan, 0.4])]))["curves"]
    cross = next(trace for trace in figure.figures[0].data if trace.name == "cut here")
    assert (list(cross.x), list(cross.y)) == ([3], [0.4])
    line = next(trace for trace in figure.figures[0].data if trace.name == "pruned")
    assert list(line.y) == [0.3, None, 0.4, None]
    assert "1 report of NaN" in figure.says


def test_expected_ends_are_dots_with_a_band_behind_the_last_epoch() -> None:
    kept = {"index:expected": [[1, 2, 0.5, 0.1], [2, 3, 0.6, 0.1]]}
    trials = [trial(0, curve=[0.1] * 27, system_attrs=kept), trial(1, PRUNED, curve=[0.2, 0.3], system_attrs=kept)]
    plot = curves(facts(trials, max_steps=27))
    dots = next(trace for trace in plot.figures[0].data if trace.name == "expected end")
    assert (list(dots.x), list(dots.y)) == ([27.0], [0.6]), "of the trial that was cut alone"
    assert "90 %" in plot.says
    assert png.render(plot.figures[0], "curves").startswith(b"\x89PNG")


def test_the_best_line_follows_the_direction() -> None:
    values = [[0.5], [0.7], [0.2]]
    for direction, best in (("maximize", [0.5, 0.7, 0.7]), ("minimize", [0.5, 0.2, 0.2])):
        trials = [trial(number, values=value) for number, value in enumerate(values)]
        figure = drawn(facts(trials, direction=direction))["history"].figures[0]
        assert list(figure.data[-1].y) == best


def test_the_best_line_runs_to_the_last_trial_and_counts_only_what_satisfies_its_constraints() -> None:
    violated = {"constraints": [1.0]}
    trials = [trial(0, values=[0.5]), trial(1, values=[0.9], system_attrs=violated), trial(2, values=[0.6])]
    trials += [trial(3, PRUNED, [0.1]), trial(4, FAIL)]
    plot = drawn(facts(trials, direction="maximize"))["history"]
    line = plot.figures[0].data[-1]
    assert (list(line.x), list(line.y)) == ([0, 2, 4], [0.5, 0.6, 0.6])
    hollow = next(trace for trace in plot.figures[0].data if trace.name == "violated a constraint")
    assert list(hollow.x) == [1]
    assert "1 trial of them violated a constraint" in plot.says


def test_outliers_leave_room_in_every_plot_that_shows_values() -> None:
    trials = [
        trial(n, curve=[0.1 * n, 1e6 if n == 3 else 0.1 * n + 1], values=[1e6 if n == 3 else n % 7]) for n in range(24)
    ]
    plots = drawn(facts(trials))
    for id in ("history", "curves", "slice"):
        low, high = plots[id].figures[0].layout.yaxis.range
        assert high - low < 30, id
        assert "beyond" in plots[id].figures[0].layout.yaxis.title.text, id
    assert max(each for row in plots["contour"].figures[0].data[0].z for each in row if each == each) < 10
    assert "1 beyond" in titles_of(plots["parallel"])[0]
    assert "1 value (1e+06) lies beyond the axis" in plots["history"].says
    late = [attempt(n, 0, 1, verdict="pruned", latency=60.0 if n == 5 else 0.01 + n / 1e4) for n in range(24)]
    stops = drawn(facts([trial(0, PRUNED, [0.1], [0.1])], late))["latency"]
    assert max(stops.figures[0].data[0].x) < 20
    assert "1 stop beyond the axis took up to 1m 00s." in stops.says


def titles_of(parallel: Plot) -> list[str]:
    """Returns what is written at the axes in bold."""
    return [note.text for note in parallel.figures[0].layout.annotations if note.text.startswith("<b>")]


def test_values_of_both_signs_over_decades_are_drawn_by_their_symmetric_logarithm() -> None:
    values = [sign * 10.0**power for power in range(-3, 4) for sign in (-1, 1)]
    plots = drawn(facts([trial(n, curve=[value, value], values=[value]) for n, value in enumerate(values)]))
    for id in ("history", "curves", "slice"):
        axis = plots[id].figures[0].layout.yaxis
        assert "symmetric log" in axis.title.text, id
        assert axis.ticktext[0] == "-1000", id
        assert (max(map(abs, axis.range)), max(axis.tickvals)) == (pytest.approx(7.0, abs=1.0), 7.0), id
    (points,) = [each for each in plots["history"].figures[0].data if each.name == "completed"]
    assert (points.y[-1], points.text[-1]) == (7.0, "1000"), "what is read is the value"
    assert "symmetric log" in titles_of(plots["parallel"])[0]


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_better_a_trial_the_more_orange_its_line_and_the_brighter_its_place(direction: str) -> None:
    plots = drawn(facts([trial(number) for number in range(12)], direction=direction))
    lines = [trace for trace in plots["parallel"].figures[0].data if trace.mode == "lines"]
    heights = [trace.x[0] for trace in lines]
    assert heights == sorted(heights, reverse=direction == "minimize")
    assert (lines[0].line.color, lines[-1].line.color) == ("rgb(127, 127, 127)", "rgb(213, 94, 0)")
    assert plots["parallel"].figures[0].data[-1].marker.colorbar.ticktext[1].startswith("best")
    assert bool(plots["contour"].figures[0].data[0].reversescale) is (direction == "minimize")


def test_a_contour_says_on_how_few_points_it_rests() -> None:
    (figure,) = drawn(facts([trial(number) for number in range(12)]))["contour"].figures
    plot = drawn(facts([trial(number) for number in range(12)]))["contour"]
    assert figure.data[1].name == "12 trials"
    assert plot.says.startswith("It rests on 12 trials")
    assert "Fewer than 20 say little about the shape. The trials differ in 1 other parameter as well." in plot.says
    assert "Fewer than" not in drawn(facts([trial(number) for number in range(20)]))["contour"].says


def test_branches_have_a_contour_of_two_parameters_and_names_that_begin_alike_a_bar_each() -> None:
    space = {name: FloatDistribution(0.0, 1.0) for name in ("a", "x" * 70 + "1", "x" * 70 + "2")}
    names = list(space)
    trials = [
        trial(
            n,
            params={name: (n * 37 + k * n * n) % 11 / 11 for k, name in enumerate(names) if k != 2 or n % 2},
            space=space,
        )
        for n in range(24)
    ]
    plots = drawn(facts(trials))
    titles = [plots["contour"].figures[0].layout[axis].title.text for axis in ("xaxis", "yaxis")]
    assert len(set(titles)) == 2
    shown = [figure.layout.xaxis.title.text for figure in plots["slice"].figures]
    assert len(set(shown)) == 3
    assert len(set(titles_of(plots["parallel"]))) == 4


LIGHT, DARK = (255, 255, 255), (21, 25, 30)


def contrast(colour: str, opacity: float, page: tuple[int, int, int]) -> float:
    """Returns the contrast of a colour with the page that it is drawn on, by WCAG 2."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    mixed = [opacity * own + (1 - opacity) * under for own, under in zip((red, green, blue), page, strict=True)]
    lights = sorted(sum(map(_light, each, (0.2126, 0.7152, 0.0722))) for each in (mixed, page))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def _light(channel: float, weight: float) -> float:
    share = channel / 255
    return weight * (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4)


def test_every_line_and_point_is_seen_on_a_light_page_and_on_a_dark_one() -> None:
    found = set()
    for plot in drawn(ordinary()).values():
        for trace in (trace for figure in plot.figures for trace in figure.data if trace.type == "scatter"):
            used = [trace.line.color if "lines" in trace.mode else None]
            used += [colour for _, colour in trace.marker.colorscale or ()] or [trace.marker.color]
            opacity = 1.0 if trace.opacity is None else trace.opacity
            found |= {(each, opacity) for each in used if isinstance(each, str) and each.startswith("#")}
    found -= {("#000000", 1.0)}  # the points of the contour, which have a white rim
    assert len(found) >= 4
    for colour, opacity in found:
        assert min(contrast(colour, opacity, page) for page in (LIGHT, DARK)) >= 3, colour


def test_several_objectives_have_a_front_and_a_history_each() -> None:
    trials = [trial(number, values=[number / 8, (number * 3) % 8 / 8]) for number in range(8)]
    plots = drawn(facts(trials, directions=["maximize", "minimize"]))
    assert len(plots["history"].figures) == 2
    on_front = next(trace for trace in plots["front"].figures[0].data if trace.name == "on the front")
    beaten = {
        each.number
        for each in trials
        if any(
            other.values[0] >= each.values[0] and other.values[1] <= each.values[1] and other is not each
            for other in trials
        )
    }
    assert {text.partition(":")[0] for text in on_front.text} == {
        f"trial {number}" for number in range(8) if number not in beaten
    }
    assert plots["slice"].absent
    assert plots["contour"].absent
    for plot in plots.values():
        assert all(png.render(figure, plot.title) for figure in plot.figures)


def test_attempts_become_time_on_a_slot() -> None:
    found = facts(
        [trial(0), trial(1)],
        [
            attempt(0, 0, 10, cause="promoted"),
            attempt(1, 12, 20, state="lost"),
            attempt(0, 50, 60, number=2),
            attempt(1, 30, None, "w/1", number=2, state="running"),
        ],
    )
    intervals = [(each.trial, each.attempt, each.begin - NOW, each.end - NOW, each.kind) for each in found.intervals]
    assert intervals == [
        (0, 1, 0.0, 10.0, PAUSED),
        (1, 1, 12.0, 20.0, RETRIED),
        (0, 2, 50.0, 60.0, "completed"),
        (1, 2, 30.0, 100.0, "completed"),
    ]
    assert RUNNING not in {each.kind for each in found.intervals}


def test_slot_time_saved_is_at_the_pace_of_each_trial() -> None:
    found = facts([trial(0, PRUNED, [0.1], [0.1, 0.1, 0.1])], [attempt(0, 0, 6)])
    assert found.seconds_saved == pytest.approx(2.0 * 6)
    assert facts([trial(0, PRUNED, [0.1], [0.1])], [attempt(0, 0, 6)], max_steps=None).seconds_saved is None


def test_slot_time_saved_leaves_out_what_is_spent_before_the_first_epoch() -> None:
    """Each trial loads its data for 5 s and trains an epoch in 2 s; a slot's first trial imports for 30 s before."""
    lengths = [9, 9, 4, 9, 2, 9]
    trials = [trial(n, COMPLETE if e == 9 else PRUNED, [0.1], [0.1] * e) for n, e in enumerate(lengths)]
    attempts = [attempt(n, 100 * n, 100 * n + 5 + 2 * e + (30 if n == 0 else 0)) for n, e in enumerate(lengths)]
    assert facts(trials, attempts).seconds_saved == pytest.approx(2.0 * (5 + 7))


@pytest.mark.parametrize(("stops", "bars", "each"), [(1, 5, 1), (26, 6, 1), (1_000, 20, None), (60_000, 40, None)])
def test_stops_are_counted_in_few_bars_and_whole_numbers(stops: int, bars: int, each: int | None) -> None:
    late = [attempt(0, 0, 1, verdict="pruned", latency=0.001 * (1 + number % 10)) for number in range(stops)]
    (figure,) = drawn(facts([trial(0, PRUNED, [0.1], [0.1])], late))["latency"].figures
    assert len(figure.data[0].y) == bars
    assert sum(figure.data[0].y) == stops
    assert figure.layout.yaxis.dtick == each


def test_nothing_is_more_than_all_of_it() -> None:
    """The budget was lowered, and a trial reported more epochs than a full one has."""
    found = facts(
        [trial(number, curve=[0.1] * 9) for number in range(4)]
        + [trial(4, curve=[0.1] * 12), trial(5, PRUNED, [0.1], [0.1] * 2)],
        trials=2,
    )
    epochs = found.summary.epochs
    assert (epochs.trained, epochs.budget, epochs.saved) == (50, 57, 7)
    assert facts([trial(0, curve=[0.1] * 3)], trials=2).summary.epochs.budget == 18


def test_many_trials_are_sampled_and_the_page_says_so() -> None:
    many = facts(
        [trial(number, curve=[0.1, 0.2, 0.3]) for number in range(3_000)],
        [attempt(number, number, number + 0.9) for number in range(3_000)],
    )
    plots = drawn(many)
    assert "Drawn are 2000 of 3000 completed trials" in plots["history"].says
    assert "Drawn are 201 of 3000 curves" in plots["curves"].says
    assert "too many for a bar each" in plots["timeline"].says
    assert plots["timeline"].figures[0].data[0].type == "heatmap"
    assert png.render(plots["timeline"].figures[0], "timeline")
    points = sum(len(trace.x) for trace in plots["slice"].figures[0].data) / 3
    assert points <= 1_000
    size = sum(len(figure.to_json()) for plot in plots.values() for figure in plot.figures)
    assert size < 2_000_000


ODD = st.one_of(st.floats(), st.sampled_from([0.0, -0.0, 1e308, -1e308, 5e-324, math.inf, math.nan]))


@settings(max_examples=30, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    st.lists(st.tuples(ODD.filter(lambda value: not math.isnan(value)), st.lists(ODD, max_size=3)), max_size=6),
    st.text(min_size=1, max_size=40),
    st.text(max_size=40),
)
def test_odd_values_and_names_are_drawn_or_refused_in_words(
    rows: list[tuple[float, list[float]]], name: str, choice: str
) -> None:
    space = {name: FloatDistribution(0.0, 1.0), name + "2": CategoricalDistribution([choice, "other"])}
    trials = [
        trial(
            number,
            COMPLETE,
            [value],
            curve,
            {name: number / 10, name + "2": [choice, "other"][number % 2]},
            space,
        )
        for number, (value, curve) in enumerate(rows)
    ]
    for plot in draw(facts(trials), lambda _: None):
        assert bool(plot.absent) != bool(plot.figures)
        for figure in plot.figures:
            assert "<script" not in json.dumps(figure.to_json())


def test_a_logarithmic_axis_of_the_contour_has_the_parameters_own_values() -> None:
    trials = [trial(n, params={"lr": 10 ** (-n / 3), "x": n * 7 % 12 / 12}) for n in range(12)]
    (figure,) = drawn(facts(trials))["contour"].figures
    axis = next(each for each in (figure.layout.xaxis, figure.layout.yaxis) if each.title.text == "lr (log)")
    assert [float(each) for each in axis.ticktext] == pytest.approx([10**each for each in axis.tickvals])
    assert "0.001" in axis.ticktext


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1e-4, 1.0, [1e-4, 1e-3, 0.01, 0.1, 1.0]),
        (0.2, 20.0, [0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0]),
        (3.0, 8.0, [3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
        (1.0, 1.1, [1.0, 1.05, 1.1]),
        (1e-30, 1e30, [10.0**power for power in range(-30, 31, 8)]),
    ],
)
def test_ticks_of_a_logarithmic_axis_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(math.log10(low), math.log10(high)) == pytest.approx(expected)


def test_a_slot_was_not_idle_before_it_was_there() -> None:
    intervals = [attempt(0, 0, 10), attempt(1, 90, 95, "w/1"), attempt(2, 95, 100, "w/1")]
    says = drawn(facts([trial(0), trial(1), trial(2)], intervals))["timeline"].says
    assert says.startswith("The 2 slots were at work 100% of the time")


def test_words_take_the_colour_of_the_page() -> None:
    for plot in drawn(ordinary()).values():
        for figure in plot.figures:
            fonts = [each.font.color for each in figure.layout.annotations]
            assert set(fonts) <= {None}, plot.id


def test_no_tick_of_a_png_is_markup() -> None:
    """Nothing is taken for mathematics there, and so matplotlib must not write any itself."""
    for plot in drawn(ordinary()).values():
        for figure in plot.figures:
            sheet = png.draw(figure, plot.title)
            sheet.canvas.draw()
            ticks = [tick for axes in sheet.axes for tick in (*axes.get_xticklabels(), *axes.get_yticklabels())]
            assert not [tick.get_text() for tick in ticks if "$" in tick.get_text()], plot.id


@pytest.mark.parametrize("count", [1, 2, 9])
def test_a_png_of_few_trials_has_numbers_and_words(count: int) -> None:
    trials = [trial(n, curve=[0.1, 0.2], params={"lr": 0.015 + 0.001 * n, "x": n / 30}) for n in range(count)]
    for plot in drawn(facts(trials, [attempt(n, 0.0, 9.0, f"w/{n}") for n in range(count)])).values():
        for figure in plot.figures:
            sheet = png.draw(figure, plot.title)
            sheet.canvas.draw()
            for axes in sheet.axes:
                assert not [text for text in axes.texts if "<" in text.get_text()], plot.id
                low, high = axes.get_xlim()
                shown = [tick for tick in axes.get_xticks() if low <= tick <= high]
                assert shown or not axes.get_xlabel(), plot.id
                if axes.get_xlabel() in ("trial", "epoch", "epochs"):
                    assert all(tick == round(tick) for tick in shown), plot.id
