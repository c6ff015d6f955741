"""The fit of the curve model: the same regressions rung by rung, large studies, and values that are no numbers."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.pruning import curve_model
from orchestrator.pruning.curve_model import MOST, Floats, fit
from tests.unit.pruning.histories import tried


def curves(trials: int, rungs: int, draw: random.Random, gaps: float = 0.0) -> Floats:
    """Values by rung and trial: each trial rises by less and less, and ends at a random rung."""
    values = np.full((rungs, trials), np.nan)
    for trial in range(trials):
        worth, value = draw.random(), draw.random()
        for rung in range(draw.randint(0, rungs)):
            value += worth * 0.5**rung + draw.gauss(0, 0.05)
            values[rung, trial] = math.nan if draw.random() < gaps else value
    return values


def latest(values: Floats) -> Floats:
    return np.array([column[~np.isnan(column)][-1:].sum() if len(column) else math.nan for column in values.T])


def rung_by_rung(values: Floats, floor: float, scale: float) -> list[tuple[float, float, float, float, float]]:
    """What a fit finds for each step, one ridge regression after the other."""
    values = np.maximum(values, floor)
    prior, noise = np.array([0.05 * scale, 0.5, 0.0]), 0.15 * scale
    penalty = 5 * np.diag([1.0, (0.15 * scale) ** 2, (0.5 * scale) ** 2])
    found = []
    for rung in range(len(values) - 1):
        here, following = values[rung : rung + 2]
        on = ~np.isnan(here) & ~np.isnan(following)
        shown = here[on] if on.any() else here[~np.isnan(here)]
        mean = float(shown.mean()) if len(shown) else 0.0
        slope = np.nan_to_num(here - values[rung - 1])[on] if rung else np.zeros(on.sum())
        features = np.stack([np.ones(on.sum()), slope, here[on] - mean])
        increments = following[on] - here[on]
        drift, inertia, place = learned = np.linalg.solve(
            features @ features.T + penalty, features @ increments + penalty @ prior
        )
        squares = float(((increments - learned @ features) ** 2).sum())
        spread = math.sqrt((squares + 5 * noise**2) / (on.sum() + 5))
        found.append((drift, inertia, place, mean, spread * math.sqrt(1 + 3 / (on.sum() + 5))))
        prior, noise = np.array([0.4 * drift, 0.25 + 0.5 * inertia, 0.6 * place]), 0.9 * spread
    return found


@tried(60)
@given(st.integers(0, 40), st.integers(2, 8), st.integers(0, 2**32), st.sampled_from([0.0, 0.2]))
def test_all_rungs_at_once_are_what_they_are_one_by_one(trials: int, rungs: int, seed: int, gaps: float) -> None:
    values = curves(trials, rungs, random.Random(seed), gaps)
    for found, wanted in zip(curve_model._regressions(values, 0.3, 0.7), rung_by_rung(values, 0.3, 0.7), strict=True):
        assert found == pytest.approx(wanted, rel=1e-8, abs=1e-10)


def test_a_fit_learns_from_the_newest_trials_however_many_there_are() -> None:
    values = curves(2 * MOST, 6, random.Random(3))
    # Of each rung the newest count: of a late one they lie further back.
    kept = [np.flatnonzero(~np.isnan(values[rung : rung + 2]).any(axis=0))[-MOST:] for rung in range(5)]
    spoiled = values.copy()
    spoiled[:, : min(each[0] for each in kept)] += 100
    assert len(kept[0]) == MOST
    assert min(each[0] for each in kept) > 0
    found, wanted = (curve_model._regressions(each, 0.0, 1.0) for each in (spoiled, values))
    assert found == wanted


def test_a_value_that_is_no_number_costs_the_others_nothing() -> None:
    values = curves(60, 6, random.Random(4))
    full = np.flatnonzero(~np.isnan(values[-1]))[0]
    best = float(np.nanmax(values))
    before = fit(values, latest(values), best)
    values[1, full] = math.nan
    found = fit(values, latest(values), best)
    assert all(math.isfinite(each) for weights in found.weights for each in weights)
    assert [weights[1] for weights in found.weights] == pytest.approx(
        [weights[1] for weights in before.weights], abs=0.1
    )
    assert found.arrivals == before.arrivals - 1
