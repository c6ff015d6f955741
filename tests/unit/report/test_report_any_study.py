"""Any study that Optuna can store yields a report, and its importances are Optuna's."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from made_facts import COMPLETE, FAIL, PRUNED, facts, trial
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from orchestrator.report import page, parameter_plots
from orchestrator.report.all_plots import draw
from tests.later import Later

png = Later("orchestrator.report.png")

FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)
CHOICES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.tuples(inner) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=3,
)


@st.composite
def parameter(draw: st.DrawFn) -> tuple[BaseDistribution, Any]:
    """A distribution, and a value that may lie outside of it, as an enqueued one may."""
    match draw(st.sampled_from(["float", "log", "step", "int", "one", "choices"])):
        case "float":
            low, high = sorted((draw(FLOATS), draw(FLOATS)))
            return FloatDistribution(low, high), draw(FLOATS | st.sampled_from([low, high]))
        case "log":
            return FloatDistribution(1e-6, 0.1, log=True), draw(st.sampled_from([1e-6, 0.01, 0.1, 6.0, -1.0, 0.0]))
        case "step":
            return FloatDistribution(0, 1, step=0.25), draw(st.sampled_from([0.0, 0.5, 1.0, 0.3, 7.0]))
        case "int":
            return IntDistribution(1, draw(st.integers(1, 99))), draw(st.integers(-5, 200))
        case "one":
            return FloatDistribution(2, 2), 2.0
    choices = draw(st.lists(CHOICES, min_size=1, max_size=4))
    return CategoricalDistribution(choices), draw(st.sampled_from(choices))


VALUES = st.floats(allow_nan=False) | st.sampled_from([0.0, 1.0, math.inf, -math.inf, 1e308])


@st.composite
def studies(draw: st.DrawFn) -> tuple[list[Any], dict[str, Any]]:
    objectives = draw(st.sampled_from([1, 1, 1, 2, 3]))
    names = draw(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=3, unique=True))
    fixed = {name: draw(parameter())[0] for name in names} if draw(st.booleans()) else {}
    trials = []
    for number in range(draw(st.integers(0, 8))):
        state = draw(st.sampled_from([COMPLETE, COMPLETE, COMPLETE, PRUNED, FAIL]))
        has = {name: draw(parameter()) for name in names if draw(st.integers(0, 5))}
        if fixed:
            has = {
                name: (kind, draw(st.sampled_from(kind.choices)) if isinstance(kind, CategoricalDistribution) else 1)
                for name, kind in fixed.items()
            }
        values = [draw(VALUES) for _ in range(objectives)] if state is COMPLETE else None
        curve = draw(st.lists(st.floats(), max_size=3))
        trials.append(
            trial(
                number,
                state,
                values if state is not PRUNED else ([draw(VALUES)] if objectives == 1 else None),
                curve,
                {name: value for name, (_, value) in has.items()},
                {name: kind for name, (kind, _) in has.items()},
                user_attrs=draw(st.dictionaries(st.text(max_size=3), CHOICES, max_size=2)),
                system_attrs=draw(st.sampled_from([{}, {"fixed_params": {"x": [1]}}, {"constraints:a": 1.0}])),
            )
        )
    return trials, {"directions": ["minimize"] * objectives} if objectives > 1 else {}


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution:UserWarning")
@settings(max_examples=30, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(studies())
def test_any_study_yields_a_report(study: tuple[list[Any], dict[str, Any]]) -> None:
    trials, spec = study
    found = facts(trials, **spec)
    plots = draw(found, lambda _: None)
    for plot in plots:
        assert bool(plot.absent) != bool(plot.figures)
    assert page.render(found, plots).endswith("</html>\n")


def enqueued_beyond() -> list[Any]:
    space: dict[str, BaseDistribution] = {"x": FloatDistribution(-5, 5), "y": FloatDistribution(0, 1)}
    return [trial(n, values=[float(n)], params={"x": 6.0 - n, "y": n * 7 % 9 / 9}, space=space) for n in range(9)]


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution:UserWarning")
def test_a_value_beyond_its_range_and_lists_as_choices_are_drawn() -> None:
    plots = {plot.id: plot for plot in draw(facts(enqueued_beyond()), lambda _: None)}
    assert 6.0 in plots["slice"].figures[0].data[0].x
    assert plots["importances"].figures
    assert plots["contour"].figures

    choices: Any = [[1], (1, 2), {"a": None}, "[1]"]
    space = {"shape": CategoricalDistribution(choices), "lr": FloatDistribution(0, 1)}
    lists = [trial(n, values=[n * 1.5], params={"shape": choices[n % 4], "lr": n / 9}, space=space) for n in range(9)]
    plots = {plot.id: plot for plot in draw(facts(lists), lambda _: None)}
    assert {plot.id for plot in plots.values() if plot.absent} >= {"timeline"}
    for id in ("slice", "importances", "parallel", "contour"):
        for figure in plots[id].figures:
            assert png.render(figure, id)
        assert plots[id].figures, id
    shown = {str(each).strip("'\"") for trace in plots["slice"].figures[0].data for each in trace.x}
    assert shown >= {"[1]", "(1, 2)", "{'a': None}", "[1] 3"}


@pytest.mark.parametrize("fanova", [True, False])
def test_importances_are_those_of_optuna(fanova: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    space: dict[str, BaseDistribution] = {
        "lr": FloatDistribution(1e-4, 1.0, log=True),
        "units": IntDistribution(1, 64),
        "kind": CategoricalDistribution(["plain", "fancy", None]),
        "one": FloatDistribution(2.0, 2.0),
    }
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    study.optimize(lambda t: sum(each if isinstance(each, float) else 0.1 for each in _ask(t, space)), n_trials=30)
    if not fanova:
        monkeypatch.setattr(parameter_plots, "MOST_FOR_FANOVA", 10)
    found = facts(study.trials, trials=30)
    importance = optuna.importance
    evaluator = importance.FanovaImportanceEvaluator(seed=0) if fanova else importance.PedAnovaImportanceEvaluator()

    weights = parameter_plots.importances_of(found)

    assert weights == [importance.get_param_importances(study, evaluator=evaluator)]
    says = parameter_plots.importances(found, weights).says
    assert says.startswith("fANOVA" if fanova else "PED-ANOVA")
    assert "Of all 30 completed trials" in says


def _ask(asked: optuna.Trial, space: dict[str, BaseDistribution]) -> list[Any]:
    return [asked._suggest(name, kind) for name, kind in space.items()]


def test_slices_and_contour_say_which_trials_they_show() -> None:
    trials = [*enqueued_beyond(), trial(9, PRUNED, [0.1], [0.1])]
    plots = {plot.id: plot for plot in draw(facts(trials), lambda _: None)}
    for id in ("slice", "contour"):
        assert "Drawn are all 9 completed trials. Not drawn: 1 pruned trial, without a final value." in plots[id].says
