"""Why a trial was pruned, as each rule would say it, and what that saved."""

from __future__ import annotations

import math
from typing import Any

import pytest
from recorded_trials import ASHA, MEDIAN, attempt, facts, row

from orchestrator.terminal.why_text import explain

IMPATIENT = "no improvement in the last 4 reports: best of them 0.41"


def pruned(*decision: Any, direction: str = "maximize", pruner: dict[str, Any] | None = None) -> str:
    """The first line about a trial that was pruned by this decision, without its beginning."""
    found = facts(pruner=pruner, direction=direction, decisions=[row("prune", *decision)])
    line = explain(found).splitlines()[0]
    assert line.startswith("trial 9 was pruned ")
    return line.removeprefix("trial 9 was pruned ")


def test_pruned_by_the_median_and_what_that_saved() -> None:
    found = facts(
        decisions=[row("prune", 8, 0.41, 0.63, 12)],
        attempts=[attempt(verdict="pruned", verdict_step=8, latency=0.0094)],
    )
    assert explain(found).splitlines() == [
        "trial 9 was pruned at epoch 8: best value so far 0.41, the median of 12 completed trials at epoch 8 is 0.63",
        "  (stopped 9.4 ms after the report of that epoch; 19 of 27 epochs not trained)",
    ]


@pytest.mark.parametrize(
    ("decision", "pruner", "expected"),
    [
        (
            (8, 0.41, 0.63, 12, "percentile"),
            {"name": "percentile", "percentile": 25.0},
            "at epoch 8: best value so far 0.41, the best 25 % of 12 completed trials had 0.63 or better at epoch 8",
        ),
        (
            (9, 0.41, 0.63, 12, "asha"),
            ASHA,
            "at epoch 9, a rung: value 0.41, the last one among the best 1/3 of 12 trials there has 0.63",
        ),
        (
            (9, 0.41, 0.63, 2, "asha"),
            ASHA,
            "at epoch 9, a rung: value 0.41, of 2 trials there only the best goes on, which has 0.63",
        ),
        (
            (9, 0.41, None, 3, "asha"),
            ASHA | {"bootstrap_count": 4},
            "at epoch 9: 3 values at this rung, none passes before there are more than 4",
        ),
        (
            (3, 0.41, 0.63, 9, "hyperband"),
            {"name": "hyperband", "reduction_factor": 3},
            "at epoch 3, a rung: value 0.41, the last one among the best 1/3 of 9 trials there has 0.63",
        ),
        ((4, 3.0, 2.0, 0, "threshold"), {"name": "threshold"}, "at epoch 4: value 3, above the upper bound 2"),
        ((4, -1.0, 0.0, 0, "threshold"), {"name": "threshold"}, "at epoch 4: value -1, below the lower bound 0"),
        (
            (9, 0.41, 0.45, 5, "patient"),
            {"name": "patient", "patience": 3, "min_delta": 0.0},
            f"at epoch 9: {IMPATIENT}, best of the 5 before them 0.45",
        ),
        (
            (9, 0.41, 0.45, 5, "patient"),
            {"name": "patient", "patience": 3, "min_delta": 0.05},
            f"at epoch 9: {IMPATIENT}, best of the 5 before them 0.5 (0.05 worse is forgiven)",
        ),
        (
            (9, 0.41, 0.63, 12, "asha"),
            {"name": "patient", "patience": 3, "min_delta": 0.0, "wrapped": ASHA},
            "at epoch 9, a rung: value 0.41, the last one among the best 1/3 of 12 trials there has 0.63",
        ),
        ((9, 0.41, None, 0, "my.own:P"), {"name": "my.own:P"}, "at epoch 9: the pruner my.own:P said so (value 0.41)"),
        ((9, math.nan, None, 0, "my.own:P"), {"name": "my.own:P"}, "at epoch 9: the pruner my.own:P said so"),
        ((2, math.nan, None, 0, "median"), MEDIAN, "at epoch 2: no value so far was a number"),
        ((3, math.nan, None, 0, "asha"), ASHA, "at epoch 3: its value there is not a number"),
        ((3, math.nan, None, 0, "threshold"), {"name": "threshold"}, "at epoch 3: its value there is not a number"),
        (
            (8, math.inf, -math.inf, 1, "median"),
            MEDIAN,
            "at epoch 8: best value so far inf, the median of 1 completed trial at epoch 8 is -inf",
        ),
    ],
)
def test_each_rule_says_what_it_compared(decision: tuple[Any, ...], pruner: dict[str, Any], expected: str) -> None:
    assert pruned(*decision, pruner=pruner) == expected


def test_forgiveness_counts_the_other_way_where_smaller_is_better() -> None:
    text = pruned(
        9, 0.45, 0.41, 5, "patient", pruner={"name": "patient", "patience": 0, "min_delta": 0.01}, direction="minimize"
    )
    assert "in the last 1 report: best of them 0.45, best of the 5 before them 0.4 (0.01 worse" in text


def test_a_worker_that_has_not_obeyed_yet() -> None:
    running = attempt(state="stopping", verdict="pruned", ended=None)
    text = explain(facts(decisions=[row("prune", 8, 0.41, 0.63, 12)], attempts=[running]))
    assert "(its worker was told to stop and has not confirmed it yet; 19 of 27 epochs not trained)" in text


def test_nothing_is_said_of_epochs_without_max_steps() -> None:
    text = explain(facts(decisions=[row("prune", 8, 0.41, 0.63, 12)], max_steps=None))
    assert text.count("\n") == 0


def test_pruned_by_the_objective_itself_or_by_another_program() -> None:
    assert explain(facts(attempts=[attempt(cause="finished")], closest=None)).startswith(
        "trial 9 was pruned by the objective itself at epoch 8\n"
    )
    assert explain(facts(attempts=[])).startswith(
        "trial 9 was ended as pruned at epoch 8 by another program, which recorded no reason"
    )


def test_audited_and_shadowed() -> None:
    found = facts(
        "COMPLETE",
        values=(0.85,),
        shadow=ASHA,
        decisions=[row("shadow", 3, 0.1, 0.2, 6, "asha"), row("audit", 8, 0.41, 0.63, 12)],
    )
    assert explain(found).splitlines()[1:] == [
        (
            "  condemned by median at epoch 8, and let run on as an audit: best value so far 0.41, "
            "the median of 12 completed trials at epoch 8 is 0.63"
        ),
        (
            "  the shadow rule asha would have pruned it at epoch 3, a rung: value 0.1, "
            "the last one among the best 1/3 of 6 trials there has 0.2"
        ),
    ]
