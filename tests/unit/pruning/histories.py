"""Made-up histories of a study: interleaved trials that report whatever a training might, and end anyhow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from orchestrator.pruning import Direction, Outcome, RuleBase
from orchestrator.pruning.patient import PatientArguments, PatientRule
from tests.unit.pruning.built_rules import build

STUDY_NAME = "history"
MAX_STEPS = 12
DIRECTIONS: tuple[Direction, ...] = ("minimize", "maximize")
OUTCOMES: tuple[Outcome, ...] = ("COMPLETE", "COMPLETE", "COMPLETE", "PRUNED", "FAIL")
# Few values, so that they tie; two whose difference overflows; and those that are no numbers at all.
VALUES = (0.0, 1.0, 2.0, 3.0, 0.1, -0.0, 1e308, -1e308, math.nan, math.nan, math.inf, -math.inf)


def tried(count: int) -> settings:
    """Returns the settings of a test that tries so many histories in the profile ``thorough``, otherwise a quarter.

    Each run draws histories of its own, so that the runs of ``make test`` try together what a longer one would.
    """
    share = 1 if settings.get_current_profile_name() == "thorough" else 4
    return settings(max_examples=count // share, deadline=None)


@dataclass(frozen=True)
class Report:
    trial: int
    step: int
    value: float


@dataclass(frozen=True)
class Finish:
    trial: int
    state: Outcome


Event = Report | Finish


@dataclass(frozen=True)
class Case:
    """A rule with arguments, and what happens to it."""

    name: str
    arguments: dict[str, Any]
    direction: Direction
    events: list[Event]

    def rule(self) -> RuleBase:
        if self.name == "patient":
            # The spec refuses an infinite min_delta and 'none' inside, which the rule can do all the same.
            arguments, table = PatientArguments.model_construct(**self.arguments), self.arguments["wrapped"]
            inside = None if table is None else Case(table["name"], table, self.direction, []).rule()
            return PatientRule(arguments, inside, self.direction)
        return build(self.name, self.arguments, self.direction, study_name=STUDY_NAME, max_steps=MAX_STEPS)


def tell(rule: RuleBase, event: Event) -> Any:
    """Returns the rule's decision, or None at a trial's end."""
    if isinstance(event, Report):
        return rule.observe(event.trial, event.step, event.value)
    return rule.finish(event.trial, event.state)


def decode(code: bytes, numbers: Sequence[float], stride: int) -> list[Event]:
    """Turns three bytes into one event: whose, what, with which value. Zeros stand for nothing.

    Bytes, because Hypothesis draws and shrinks them fast. Five trials run side by side; one that ends is
    replaced by a new one. Steps mostly go on by one, now and then leave a gap, and at times fall anywhere.
    What the engine never tells a rule is left out: a step reported before.
    """
    pool = (*numbers, *VALUES)
    events: list[Event] = []
    running: dict[int, int] = {}
    steps: dict[int, set[int]] = {}
    for who, what, which in zip(code[::3], code[1::3], code[2::3], strict=False):
        if not who:
            continue
        trial = running.setdefault(who % 5, len(steps))
        reported = steps.setdefault(trial, set())
        if what >= 215:
            events.append(Finish(trial, OUTCOMES[what % len(OUTCOMES)]))
            del running[who % 5]
            continue
        following = max(reported, default=-1) + 1
        if what < 160:
            step = following
        elif what < 175:
            step = following + what % 5  # a gap
        elif what < 190:
            step = max(following - 2 - what % 3, 0)  # late
        else:
            step = what % 12 * stride
        if step not in reported:
            reported.add(step)
            events.append(Report(trial, step, pool[which % len(pool)]))
    return events


_checks = {"n_warmup_steps": st.integers(0, 3), "interval_steps": st.integers(1, 3)}
_startup = {"n_startup_trials": st.integers(0, 3)}  # always given: the default of 5 is most of a history
_min_trials = {"n_min_trials": st.integers(1, 3)}
_percentiles = st.sampled_from([0, 10, 25, 50, 75.0, 100 / 3, 100]) | st.floats(0, 100)
_asha = {"reduction_factor": st.integers(2, 4), "min_early_stopping_rate": st.integers(0, 2)}
_bounds = st.sampled_from([-1.0, 0.0, 0.1, 1.0])

ARGUMENTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "none": st.just({}),
    "median": st.fixed_dictionaries(_startup, optional=_checks | _min_trials),
    "percentile": st.fixed_dictionaries({"percentile": _percentiles} | _startup, optional=_checks | _min_trials),
    "asha": st.fixed_dictionaries({}, optional=_asha)
    | st.fixed_dictionaries(
        {"min_resource": st.integers(1, 3)}, optional=_asha | {"bootstrap_count": st.integers(0, 3)}
    ),
    "hyperband": st.fixed_dictionaries(
        {}, optional={"min_resource": st.integers(1, 9), "reduction_factor": st.integers(2, 4)}
    )
    | st.fixed_dictionaries(
        {"min_resource": st.integers(1, 2), "max_resource": st.integers(2, 40)},
        optional={"reduction_factor": st.integers(2, 4), "bootstrap_count": st.integers(0, 3)},
    ),
    "index": st.fixed_dictionaries(
        {"mode": st.just("stopping")}, optional={"min_resource": st.integers(1, 3), "spacing": st.floats(1.1, 4)}
    ),
    "threshold": st.fixed_dictionaries({"lower": _bounds}, optional=_checks)
    | st.fixed_dictionaries({"upper": _bounds, "lower": st.none()}, optional=_checks)
    | st.fixed_dictionaries({"upper": st.just(2.0), "lower": _bounds}, optional=_checks),
}
_wrapped = st.none() | st.one_of(
    *(
        st.builds(lambda name, arguments: {"name": name} | arguments, st.just(name), arguments)
        for name, arguments in ARGUMENTS.items()
        # What Optuna's pruner is compared with wraps Optuna's own.
        if name != "index"
    )
)
ARGUMENTS["patient"] = st.fixed_dictionaries(
    {"patience": st.integers(0, 3), "wrapped": _wrapped},
    optional={"min_delta": st.sampled_from([0.0, 0.5, 1.0, math.inf])},
)

histories = st.builds(
    decode,
    st.binary(min_size=150, max_size=300),
    st.lists(st.floats(-10, 10), max_size=20),
    st.sampled_from([1, 1, 30, 200]),  # long steps move asha's automatic min_resource off 1
)


def cases(name: str) -> st.SearchStrategy[Case]:
    return st.builds(Case, st.just(name), ARGUMENTS[name], st.sampled_from(DIRECTIONS), histories)
