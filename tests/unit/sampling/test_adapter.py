"""Any pruner of Optuna's kind decides as a rule what it decides in a plain Optuna study."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any, cast

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState

from orchestrator.pruning import Decision, Direction, Outcome, RuleFailed
from orchestrator.pruning.base import RuleBase
from orchestrator.sampling.optuna_pruner import OptunaRule, private_study
from orchestrator.sampling.staged_storage import StagedStorage
from tests.unit.pruning.built_rules import build
from tests.unit.pruning.histories import ARGUMENTS, DIRECTIONS, STUDY_NAME, Case, Event, Report, histories, tried
from tests.unit.pruning.optuna_side import OptunaSide, pruner

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning:numpy"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning:optuna"),
    pytest.mark.filterwarnings("ignore::UserWarning:optuna"),
    pytest.mark.filterwarnings("ignore::UserWarning:optuna_side"),
    # From Python 3.12 on Optuna's warnings name the module that calls Optuna.
    pytest.mark.filterwarnings(
        "ignore:(The best trial has|WilcoxonPruner finds|The intermediate values of):UserWarning"
    ),
]

ARGUMENTS_OF = ARGUMENTS | {
    "wilcoxon": st.fixed_dictionaries(
        {}, optional={"p_threshold": st.sampled_from([0.3, 0.6, 1.0]), "n_startup_steps": st.integers(0, 3)}
    )
}


class Fed:
    """The rule with a study of its own, told all it is told in a shadow or a replay."""

    def __init__(self, case: Case) -> None:
        self.case = case
        study = private_study(case.direction, STUDY_NAME)
        self.rule = OptunaRule(case.name, pruner(case.name, case.arguments), study, feeds=True)

    def tell(self, event: Event, value: float) -> Decision | None:
        if isinstance(event, Report):
            return self.rule.observe(event.trial, event.step, event.value)
        self.rule.result(event.trial, value)
        self.rule.finish(event.trial, event.state)
        return None

    def rebuilt(self, theirs: OptunaSide) -> Fed:
        fresh = Fed(self.case)
        fresh.rule.restore_study(self.rule.study_attributes())
        for trial in theirs.study.get_trials(deepcopy=False):
            state = cast(Outcome, trial.state.name) if trial.state.is_finished() else None
            if state == "COMPLETE":
                fresh.rule.result(trial.number, trial.values[0])
            attributes = self.rule.attributes(trial.number)
            fresh.rule.restore(trial.number, trial.intermediate_values, state, attributes)
        return fresh

    def attributes(self, trial: int) -> dict[str, Any]:
        return self.rule.attributes(trial)


class StagedStorageed:
    """The rule on a study that the caller fills, as the engine does."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.mirror = StagedStorage()
        with self.mirror.loading():
            self.mirror.create_study(STUDY_NAME, [case.direction])
        study = optuna.Study(STUDY_NAME, self.mirror, optuna.samplers.RandomSampler(seed=0))
        self.rule = OptunaRule(case.name, pruner(case.name, case.arguments), study, feeds=False)

    def tell(self, event: Event, value: float) -> Decision | None:
        while self.mirror.get_n_trials(0) <= event.trial:
            self.mirror.create_new_trial(0)
        if isinstance(event, Report):
            self.mirror.set_trial_intermediate_value(event.trial, event.step, event.value)
            return self.rule.observe(event.trial, event.step, event.value)
        self.mirror.set_trial_state_values(event.trial, TrialState[event.state], [value])
        self.rule.result(event.trial, value)
        self.rule.finish(event.trial, event.state)
        return None

    def rebuilt(self, theirs: OptunaSide) -> StagedStorageed:
        fresh = StagedStorageed(self.case)
        with fresh.mirror.loading():
            for trial in theirs.study.get_trials():
                fresh.mirror.create_new_trial(0, trial)
                state = cast(Outcome, trial.state.name) if trial.state.is_finished() else None
                fresh.rule.restore(trial.number, trial.intermediate_values, state, trial.system_attrs)
        return fresh

    def attributes(self, trial: int) -> dict[str, Any]:
        assert self.rule.attributes(trial) == {}
        assert self.rule.study_attributes() == {}
        attributes = self.mirror.get_trial(trial).system_attrs
        staged = {key: value for (number, key), value in self.mirror.changes.system_attrs.items() if number == trial}
        assert staged.items() <= attributes.items(), "what the pruner sets is written with the reports"
        return attributes


def finite(events: list[Event]) -> list[Event]:
    """The same with a number for each that is none: wilcoxon passes over trials that have any other."""
    return [
        Report(event.trial, event.step, event.value if abs(event.value) < 1e300 else float(event.trial % 3))
        if isinstance(event, Report)
        else event
        for event in events
    ]


def cases(name: str) -> st.SearchStrategy[Case]:
    events = histories
    if name == "wilcoxon":
        events = st.one_of(histories.map(finite), histories.map(finite), histories)
    return st.builds(Case, st.just(name), ARGUMENTS_OF[name], st.sampled_from(DIRECTIONS), events)


@pytest.mark.parametrize("side", [Fed, StagedStorageed])
@pytest.mark.parametrize(
    ("name", "examples"),
    [
        ("none", 25),
        ("median", 60),
        ("percentile", 60),
        ("asha", 120),
        ("hyperband", 100),
        ("threshold", 75),
        ("patient", 120),
        ("wilcoxon", 30),
    ],
)
def test_every_decision_is_the_pruners(name: str, examples: int, side: type[Fed] | type[StagedStorageed]) -> None:
    """Rebuilt somewhere: then both go on with a pruner that is new."""

    @tried(examples)
    @given(cases(name), st.floats(0, 1), st.integers(0, 5))
    def decide_alike(case: Case, where: float, salt: int) -> None:
        ours, theirs = side(case), OptunaSide(case)
        half = int(where * len(case.events))
        for number, event in enumerate(case.events):
            if number == half:
                ours = ours.rebuilt(theirs)
                theirs.study.pruner = pruner(case.name, case.arguments)
            # No two alike: of equally good trials Optuna's best is the one that was told first, in memory at least.
            value = (event.trial * 7 + salt) % 5 + event.trial / 1024
            decision, told = ours.tell(event, value), theirs.tell(event, value)
            assert (decision and decision.prune) is told, f"event {number}, {event}: {decision}, Optuna: {told}"
            if decision is not None:
                trial = theirs.trial(event.trial)
                last = cast(int, trial.last_step)
                assert (decision.rule, decision.step, decision.threshold, decision.peers) == (name, last, None, 0)
                assert repr(decision.value) == repr(trial.intermediate_values[last])
            assert ours.attributes(event.trial) == theirs.trial(event.trial).system_attrs

    decide_alike()


# -- pruners of the user's

THEIRS = """
from optuna.pruners import BasePruner

class EveryNth(BasePruner):
    def __init__(self, n: int = 2):
        self.n = n

    def prune(self, study, trial):
        return trial.last_step % self.n == 0

class Raises(BasePruner):
    def prune(self, study, trial):
        raise KeyError("no such\\nthing " + "x" * 900)
"""


class Answers(optuna.pruners.BasePruner):
    """Answers whatever it was given, and makes a mess of the trial it was handed."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        study._storage.set_study_system_attr(study._study_id, "asked", trial.number)
        study._storage.set_trial_system_attr(trial._trial_id, "seen", len(trial.intermediate_values))
        trial.intermediate_values.clear()
        trial.system_attrs["mess"] = True
        if isinstance(self.answer, Exception):
            raise self.answer
        return cast(bool, self.answer)


class NoTruth:
    def __bool__(self) -> bool:
        raise TypeError("neither true nor false")


def fed(answer: Any, direction: Direction = "minimize") -> OptunaRule:
    return OptunaRule("mine:P", Answers(answer), private_study(direction, "s"), feeds=True)


@pytest.mark.parametrize(
    ("answer", "prune"),
    [(True, True), (False, False), (None, False), (0, False), (1.5, True), ("no", True), ([], False)],
)
def test_an_answer_counts_by_its_truth(answer: Any, prune: bool) -> None:
    assert fed(answer).observe(0, 3, 0.5) == Decision(prune, "mine:P", 3, 0.5, None, 0)


def test_a_pruner_is_handed_a_copy_and_may_write_to_its_study() -> None:
    rule = fed(False)
    rule.observe(0, 0, 1.0)
    assert rule.observe(0, 2, 2.0) == Decision(False, "mine:P", 2, 2.0, None, 0)
    rule.observe(0, 1, 3.0)
    assert rule.attributes(0) == {"seen": 3}
    assert rule.study_attributes() == {"asked": 0}
    assert rule.attributes(7) == {}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (ValueError("a\n b"), "mine:P: ValueError: a b"),
        (ZeroDivisionError(), "mine:P: ZeroDivisionError"),
        (NoTruth(), "mine:P: TypeError: neither true nor false"),
    ],
)
def test_a_pruner_that_raises_says_so_in_one_line(answer: Any, message: str) -> None:
    with pytest.raises(RuleFailed) as caught:
        fed(answer).observe(0, 0, 1.0)
    assert str(caught.value) == message


def test_what_is_no_error_passes() -> None:
    class Interrupts(optuna.pruners.BasePruner):
        def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:  # noqa: ARG002
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        OptunaRule("x", Interrupts(), private_study("minimize", "s"), feeds=True).observe(0, 0, 1.0)


@pytest.mark.parametrize(("direction", "worst"), [("minimize", math.inf), ("maximize", -math.inf)])
def test_a_final_value_that_was_not_told_is_the_last_reported_number(direction: Direction, worst: float) -> None:
    rule = fed(False, direction)
    for trial, reports in enumerate([{0: 1.0, 5: 2.0, 3: 9.0}, {0: 1.0, 1: math.nan}, {}, {0: math.nan}]):
        for step, value in reports.items():
            rule.observe(trial, step, value)
        rule.finish(trial, "COMPLETE")
    rule.result(4, 7.0)
    rule.finish(4, "COMPLETE")
    assert [trial.values for trial in rule._study.trials] == [[2.0], [1.0], [worst], [worst], [7.0]]


def test_pruned_and_failed_trials_have_the_values_that_optuna_gives_them() -> None:
    rule = fed(False)
    rule.observe(0, 0, 1.0)
    rule.finish(0, "PRUNED")
    rule.observe(1, 0, math.nan)
    rule.finish(1, "PRUNED")
    rule.observe(2, 0, 1.0)
    rule.finish(2, "FAIL")
    found = [(trial.state.name, trial.values) for trial in rule._study.trials]
    assert found == [("PRUNED", [1.0]), ("PRUNED", None), ("FAIL", None)]


def test_trials_are_created_in_their_order_whichever_reports_first() -> None:
    rule = fed(False)
    rule.observe(3, 0, 1.0)
    assert [(trial.number, trial._trial_id, trial.state.name) for trial in rule._study.trials] == [
        (number, number, "RUNNING") for number in range(4)
    ]
    assert [len(trial.intermediate_values) for trial in rule._study.trials] == [0, 0, 0, 1]


def test_the_private_study_stages_nothing_and_tells_no_time() -> None:
    study = private_study("maximize", "s")
    rule = OptunaRule("mine:P", Answers(False), study, feeds=True)
    rule.observe(0, 0, 1.0)
    rule.finish(0, "COMPLETE")
    assert isinstance(study._storage, StagedStorage)
    assert study._storage.take_changes() == StagedStorage().take_changes()
    assert study.trials[0].datetime_start == study.trials[0].datetime_complete


# -- through the catalog


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "adapted_pruners.py").write_text(THEIRS)
    monkeypatch.delitem(sys.modules, "adapted_pruners", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "adapted_pruners"


def pruned_steps(rule: RuleBase, count: int) -> list[int]:
    return [step for step in range(count) if rule.observe(0, step, 1.0).prune]


def test_a_class_of_the_users_is_built_by_reference(theirs: str) -> None:
    rule = build(f"{theirs}:EveryNth", {"n": 3}, "minimize")
    assert rule.name == f"{theirs}:EveryNth"
    assert pruned_steps(rule, 8) == [0, 3, 6]
    with pytest.raises(RuleFailed, match=f"{theirs}:Raises: KeyError: 'no such") as caught:
        build(f"{theirs}:Raises", {}, "minimize").observe(0, 0, 1.0)
    assert len(str(caught.value)) < 400


def test_one_inside_patient_is_asked_in_the_study_that_is_given(theirs: str) -> None:
    mirror = StagedStorage()
    mirror.create_study("s", ["minimize"])
    study = optuna.Study("s", mirror, optuna.samplers.RandomSampler(seed=0))
    arguments = {"patience": 0, "wrapped": {"name": f"{theirs}:EveryNth", "n": 2}}
    rule = build("patient", arguments, "minimize", study=study)
    mirror.create_new_trial(0)
    decisions = []
    for step, value in enumerate([1.0, 2.0, 3.0, 0.0]):
        mirror.set_trial_intermediate_value(0, step, value)
        decisions.append(rule.observe(0, step, value))
    assert [(decision.prune, decision.rule.partition(":")[2]) for decision in decisions] == [
        (False, ""),
        (False, "EveryNth"),
        (True, "EveryNth"),
        (False, ""),
    ]


def test_a_final_value_reaches_what_is_inside_patient() -> None:
    def complete(value: float | None) -> list[float]:
        rule = build("patient", {"patience": 0, "wrapped": {"name": "wilcoxon"}}, "minimize")
        rule.observe(0, 0, 1.0)
        if value is not None:
            rule.result(0, value)
        rule.finish(0, "COMPLETE")
        inside = rule._inside  # type: ignore[attr-defined]
        return cast(list[float], inside._study.trials[0].values)

    assert (complete(None), complete(5.0)) == ([1.0], [5.0])


def test_a_shadow_of_wilcoxon_prunes_against_the_best_trial() -> None:
    rule = build("wilcoxon", {"p_threshold": 0.4}, "minimize", study_name="s")
    for step in range(6):
        rule.observe(0, step, float(step))
    rule.finish(0, "COMPLETE")
    assert [rule.observe(1, step, step + 1.0 + step / 10).prune for step in range(6)][-1]
    assert not any(rule.observe(2, step, step - 1.0).prune for step in range(6))
