"""A rule is recommended from recorded studies: fewest epochs among those that keep the best trial."""

from __future__ import annotations

import json
import random

from orchestrator.model.records import RecordedTrial, Recording, StudyFacts
from orchestrator.queries.rule_tuning import ORDERS, RULES, TOLERATED, Judged, judge, recommend
from orchestrator.terminal.tuning_table import render, to_json

EPOCHS = 9


def recording(trials: int, *, crossing: bool = False, max_steps: int | None = EPOCHS) -> Recording:
    """Curves of one level for life; or such as are all alike until the last epoch."""
    draw = random.Random(1)
    levels = [draw.random() for _ in range(trials)]
    reports = [
        (trial, step, draw.random() if crossing and step < EPOCHS else level)
        for trial, level in enumerate(levels)
        for step in range(1, EPOCHS + 1)
    ]
    done = {trial: RecordedTrial("COMPLETE", level, None, None) for trial, level in enumerate(levels)}
    spec = {"trials": trials, "max_steps": max_steps, "pruner": {"name": "none"}}
    facts = StudyFacts("s", "maximize", spec, "finished", "", trials, dict(enumerate(levels)))
    return Recording(facts, done, reports)


def text(recordings: list[Recording], judged: list[Judged]) -> str:
    return "\n".join(line.plain for line in render(recordings, judged, 120))


def test_where_first_values_tell_all_a_rule_that_stops_early_is_recommended() -> None:
    studies = [recording(30), recording(24)]
    steps: list[int] = []
    judged = judge(studies, steps.append)
    assert sum(steps) == len(RULES)
    assert [each.label for each in judged] == list(RULES)
    assert {each.searches for each in judged} == {2 * ORDERS}
    none = judged[0]
    assert (none.label, none.epochs, none.loss, none.kept) == ("none", 1.0, 0.0, 1.0)
    for promotes in (False, True):
        best = recommend(judged, promotes=promotes)
        assert best is not None
        assert best.epochs < 0.6
        assert best.loss + 2 * best.loss_error <= TOLERATED
        assert best.label in text(studies, judged)
    plain = json.loads(json.dumps(to_json(studies, judged), allow_nan=False))
    assert plain["recommended"]["without_checkpoints"] == recommend(judged, promotes=False).label  # type: ignore[union-attr]
    assert plain["completed"] == 54


def test_where_values_tell_nothing_before_the_end_no_rule_with_a_loss_is_recommended() -> None:
    judged = judge([recording(30, crossing=True)])
    best = recommend(judged, promotes=False)
    assert best is not None
    assert best.loss <= TOLERATED
    assert any(not each.is_safe for each in judged)


def test_a_rule_that_trains_no_trial_to_its_end_has_lost_all() -> None:
    judged = {each.label: each for each in judge([recording(1)])}
    halving = judged['asha mode="promotion" reduction_factor=2']
    assert halving.kept == 0
    assert halving.loss >= 1
    best = recommend(list(judged.values()), promotes=True)
    assert best is not None
    assert best.kept == 1


def test_little_evidence_is_called_little_and_none_recommends_nothing() -> None:
    assert "hardly tell rules apart" in text([recording(5)], judge([recording(5)]))
    assert judge([recording(0)]) == []
    assert "no rule could be tried" in text([recording(0)], [])


def test_a_study_without_max_steps_is_as_long_as_its_longest_completed_trial() -> None:
    said, silent = recording(9), recording(9, max_steps=None)
    assert judge([silent]) == judge([said])
    note = "s: no max_steps is said; rules that need it took the longest completed trial's"
    assert note in text([silent], judge([silent]))
    assert note not in text([said], judge([said]))


def test_that_no_rule_was_tried_is_not_called_a_loss() -> None:
    stopping = [each for each in judge([recording(9)]) if not each.promotes]
    assert "with checkpoints: no rule could be tried" in text([recording(9)], stopping)
