"""A rule over recorded curves: what it counts, what it cannot know, and how it is drawn."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from typing import Any

import pytest

from orchestrator.model.records import RecordedTrial, Recording, StudyFacts
from orchestrator.queries.replay import Candidate, Result, compare, place_ends
from orchestrator.spec.inline_pruner import read_pruner
from orchestrator.terminal.replay_table import render

GOOD, BAD = [0.5, 0.3, 0.1], [0.9, 0.8, 0.7]


def recording(
    curves: list[list[float]], states: str = "", max_steps: int | None = 3, direction: Any = "minimize", **changes: Any
) -> Recording:
    """Trials one after the other; ``states`` has C, P, F or R for each, C where it says nothing."""
    names = {"C": "COMPLETE", "P": "PRUNED", "F": "FAIL", "R": "RUNNING"}
    trials = {}
    for number, curve in enumerate(curves):
        state = names[(states + "C" * len(curves))[number]]
        ended = None if state == "RUNNING" else number + 0.9
        trials[number] = RecordedTrial(state, curve[-1] if curve else None, float(number), ended)
    completed = {n: each.value for n, each in trials.items() if each.state == "COMPLETE" and each.value is not None}
    spec = None if max_steps is None else {"max_steps": max_steps, "trials": len(curves), "pruner": {"name": "none"}}
    study = StudyFacts("study", direction, spec, "finished", "", len(curves), completed)
    reports = [(number, step, value) for number, curve in enumerate(curves) for step, value in enumerate(curve)]
    return Recording(study, trials, reports, **changes)


def text(found: Recording, results: Sequence[Result], width: int = 10_000) -> str:
    return "\n".join(line.plain for line in render(found, results, width))


def candidate(rule: str) -> Candidate:
    return Candidate(rule, read_pruner(rule, "--pruner"))


def test_a_rule_that_would_have_pruned_the_losers() -> None:
    found = recording([GOOD, [0.6, 0.4, 0.2], BAD, BAD])
    recorded, median = compare(found, [candidate("median n_startup_trials=2")])
    assert (recorded.trained, recorded.saved, recorded.pruned, recorded.best, recorded.rank) == (12, 0, {}, 0, 1)
    assert median.pruned == {2: 0, 3: 0}
    assert (median.trained, median.saved) == (8, 4)
    assert (median.best, median.value, median.rank) == (0, 0.1, 1)
    assert (median.winner, median.winner_pruned, median.cut) == (0, None, 0)


def test_a_rule_that_would_have_killed_the_winner() -> None:
    late = [0.95, 0.9, 0.01]
    (_, median) = compare(recording([GOOD, BAD, late]), [candidate("median n_startup_trials=1")])
    assert (median.winner, median.winner_pruned) == (2, 0)
    assert (median.best, median.rank) == (0, 2)
    assert median.pruned == {1: 0, 2: 0}


def test_larger_is_better_where_the_study_says_so() -> None:
    (_, median) = compare(recording([GOOD, BAD], direction="maximize"), [candidate("median n_startup_trials=1")])
    assert (median.pruned, median.winner, median.best) == ({}, 1, 1)


def test_a_trial_that_the_replay_prunes_is_no_peer() -> None:
    """The third is worse than the first alone, and better than the median of the first two."""
    found = recording([[0.2, 0.2, 0.2], [0.9, 0.9, 0.9], [0.5, 0.5, 0.5]])
    (_, median) = compare(found, [candidate("median n_startup_trials=1")])
    assert median.pruned == {1: 0, 2: 0}


def test_a_trial_that_the_recording_pruned_is_cut_off_and_no_peer() -> None:
    found = recording([GOOD, BAD[:1], [0.9]], states="CP")
    recorded, none, median = compare(found, [candidate("none"), candidate("median n_startup_trials=1")])
    assert (recorded.pruned, recorded.cut) == ({1: 0}, 0)
    assert (none.pruned, none.cut, none.unknown, none.trained, none.saved) == ({}, 1, 2, 5, 0)
    assert (median.pruned, median.cut, median.unknown) == ({1: 0, 2: 0}, 0, 0)


def test_how_much_is_unknown_is_not_guessed_without_max_steps() -> None:
    (_, none) = compare(recording([GOOD, BAD[:1]], states="CP", max_steps=None), [candidate("none")])
    assert (none.cut, none.unknown) == (1, None)


def test_failed_and_running_trials() -> None:
    found = recording([GOOD, BAD, BAD[:2]], states="CFR")
    recorded, median = compare(found, [candidate("median n_startup_trials=1")])
    assert (recorded.trained, recorded.pruned) == (8, {})
    assert median.pruned == {1: 0, 2: 0}
    assert "1 trial still runs: taken as far as reported." in text(found, [recorded, median])


@pytest.mark.parametrize("curves", [[], [[]], [[math.nan]]])
def test_next_to_nothing_recorded(curves: list[list[float]]) -> None:
    found = recording(curves)
    results = compare(found, [candidate("median"), candidate("asha")])
    assert all(each.best is None and each.winner is None for each in results)
    assert text(found, results).count("\n") == 5
    json.dumps([each.to_json() for each in results], allow_nan=False)


def test_a_pruner_of_optunas_own() -> None:
    (_, found) = compare(recording([GOOD] * 3), [candidate("optuna.pruners:NopPruner")])
    assert (found.rule, found.pruned) == ("optuna.pruners:NopPruner", {})


# -- the order of the ends ----------------------------------------------------------------------------------------


def ends_of(reports: list[tuple[int, int]], times: dict[int, tuple[float, float | None]], **changes: Any) -> Any:
    trials = {
        number: RecordedTrial("RUNNING" if end is None else "COMPLETE", 0.0, start, end)
        for number, (start, end) in times.items()
    }
    study = StudyFacts("study", "minimize", None, "", "", len(trials), {})
    return place_ends(Recording(study, trials, [(trial, step, 0.0) for trial, step in reports], **changes))


def test_an_end_comes_right_after_the_last_report() -> None:
    both = [(0, 0), (1, 0), (0, 1), (1, 1), (1, 2)]
    assert ends_of(both, {0: (0.0, 5.0), 1: (0.0, 9.0)}) == {3: [0], 5: [1]}


def test_an_end_comes_after_all_that_certainly_was_before() -> None:
    """Trial 0 worked on long after its report; trial 1 had come and gone meanwhile, and trial 2 came later."""
    reports = [(0, 0), (1, 0), (1, 1), (2, 0)]
    assert ends_of(reports, {0: (0.0, 5.0), 1: (1.0, 4.0), 2: (6.0, 7.0)}) == {3: [1, 0], 4: [2]}


def test_a_report_whose_time_is_known_tells_more() -> None:
    reports = [(0, 0), (1, 0), (1, 1), (1, 2)]
    times: dict[int, tuple[float, float | None]] = {0: (0.0, 5.0), 1: (0.0, None)}
    assert ends_of(reports, times) == {1: [0]}
    assert ends_of(reports, times, moments={(1, 1): 4.0}) == {3: [0]}
    assert ends_of(reports, times, moments={(1, 1): 6.0}) == {1: [0]}


def test_a_trial_without_reports_ends_at_its_time() -> None:
    reports = [(0, 0), (2, 0)]
    assert ends_of(reports, {0: (0.0, 1.0), 1: (2.0, 3.0), 2: (4.0, 5.0)}) == {1: [0, 1], 2: [2]}


def test_clocks_that_contradict_the_order_do_no_harm() -> None:
    reports = [(0, 0), (1, 0), (0, 1)]
    assert ends_of(reports, {0: (9.0, 1.0), 1: (5.0, 0.0)}) == {2: [1], 3: [0]}


# -- what is shown ------------------------------------------------------------------------------------------------


def test_the_table() -> None:
    found = recording([GOOD, [0.6, 0.4, 0.2], BAD, BAD[:1]], states="CCCP")
    rules = [candidate("median n_startup_trials=2"), candidate("none")]
    *table, note = text(found, compare(found, rules)).splitlines()
    assert table == [
        "study study: 4 trials, 3 completed, 10 epochs; winner trial 0 with 0.1",
        "",
        "rule                                         epochs  saved  pruned  cut off  best left  rank  winner",
        "as recorded                ━━━━━━━━━━━━━━━━      10      –       1        –     0.1000     1  kept",
        "median n_startup_trials=2  ━━━━━━━━━━━━━───       8      2       2        –     0.1000     1  kept",
        "none                       ━━━━━━━━━━━━━━━━    ≥ 10    ≤ 0       0        1     0.1000     1  kept",
        "",
    ]
    assert note.startswith(
        "The recording pruned 1 trial, whose curves end there. Those that a rule lets go on are counted"
    )


def test_what_is_foreign_in_a_label_stays_on_its_line() -> None:
    found = recording([GOOD])
    label = "median\tn_startup_trials=1\x1b[2J" + "x" * 90
    told = text(found, compare(found, [Candidate(label, read_pruner("median", "here"))]))
    assert "\x1b" not in told
    assert max(len(line) for line in told.splitlines()) <= 110


@pytest.mark.parametrize("width", [50, 60, 80, 100])
def test_where_there_is_little_room_columns_are_left_out(width: int) -> None:
    found = recording([GOOD] * 4)
    lines = text(found, compare(found, [candidate("median n_startup_trials=2")]), width).splitlines()
    assert max(map(len, lines[2:5])) <= width
    assert {"rule", "epochs", "saved", "winner"} <= set(lines[2].split())
    assert ("no room for" in lines[-1]) is (width < 80)


def test_ten_thousand_trials_take_seconds_and_say_so() -> None:
    curves = [[1 / (epoch + 1) + (number * 7919 % 1000) / 1000 for epoch in range(27)] for number in range(10_000)]
    found = recording(curves, max_steps=27)
    told: list[int] = []
    begun = time.perf_counter()
    compare(found, [candidate("median")], told.append)
    assert sum(told) == 270_000
    assert time.perf_counter() - begun < 20
