"""How a trial completed, how close it came to being pruned, and why one failed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from recorded_trials import ASHA, FAILURE, attempt, facts, row

from orchestrator.pruning.expectations import Expectation
from orchestrator.terminal.why_json import to_json
from orchestrator.terminal.why_text import explain
from tasks.contract import PEAK_GPU_MEMORY, PEAK_MEMORY

pytestmark = pytest.mark.usefixtures("shell")

PRINTED = "'orchestrator logs search 9' shows what it printed,"


@pytest.mark.parametrize(
    ("value", "direction", "expected"),
    [
        (0.65, "maximize", "0.65 was 0.02 above the median of 12 completed trials"),
        (0.61, "minimize", "0.61 was 0.02 below the median of 12 completed trials"),
        (0.63, "minimize", "0.63 was level with the median of 12 completed trials"),
    ],
)
def test_completed(value: float, direction: str, expected: str) -> None:
    found = facts("COMPLETE", values=(0.85,), closest=row("keep", 5, value, 0.63, 12), direction=direction, epochs=27)
    rank, best = (
        ("2nd", "trial 1 is the best with 0.9") if direction == "maximize" else ("3rd", "trial 4 is the best with 0.7")
    )
    assert explain(found).splitlines() == [
        f"trial 9 completed with 0.85 after 27 epochs, the {rank} best of 4 completed trials; {best}",
        f"  at its closest, at epoch 5, {expected}",
    ]


@pytest.mark.parametrize(
    ("rule", "pruner", "boundary"),
    [
        ("percentile", {"name": "percentile", "percentile": 25.0}, "what the best 25 % of 12 completed trials had"),
        ("asha", ASHA, "the last one among the best 1/3 of 12 trials at that rung"),
        ("patient", {"name": "patient", "patience": 3}, "the best of its own 12 earlier reports"),
    ],
)
def test_how_close_by_each_rule(rule: str, pruner: dict[str, Any], boundary: str) -> None:
    found = facts("COMPLETE", values=(0.85,), closest=row("keep", 5, 0.65, 0.63, 12, rule), pruner=pruner)
    assert explain(found).endswith(f"0.65 was 0.02 above {boundary}")


def test_how_the_end_was_expected_where_a_rule_predicts_it() -> None:
    pruner = {"name": "index", "mode": "stopping"}
    closest = row("keep", 1, 0.3, 0.83, 12, "index")
    found = facts("COMPLETE", values=(0.85,), closest=closest, pruner=pruner, epochs=27)
    expected = [Expectation(1, 2, 0.7, 0.13), Expectation(15, 27, 0.8512, 0.004), Expectation(27, 27, 0.85, 0.0)]
    assert explain(replace(found, expectations=expected)).splitlines()[1:] == [
        "  at epoch 1: expected to end at 0.70 ± 0.13",
        "  at epoch 15: expected to end at 0.851 ± 0.004",
    ]


@pytest.mark.parametrize(
    ("peers", "expected"),
    [
        (12, "0.63 was the last one among the best 1/3 of 12 trials at that rung"),
        (2, "0.63 was the best of 2 trials at that rung"),
    ],
)
def test_a_trial_may_have_been_the_threshold_itself(peers: int, expected: str) -> None:
    found = facts("COMPLETE", values=(0.85,), closest=row("keep", 5, 0.63, 0.63, peers, "asha"), pruner=ASHA)
    assert explain(found).endswith(expected)


def test_several_values_have_no_rank() -> None:
    found = facts("COMPLETE", values=(0.9, 12.0), number=1, pruner={"name": "none"})
    several = replace(found, study=replace(found.study, completed={}, objectives=2))
    assert explain(several) == "trial 1 completed with 0.9, 12 after 8 epochs"
    assert (to_json(several)["value"], to_json(several)["values"]) == (None, [0.9, 12.0])


def test_the_best_and_one_that_was_never_compared() -> None:
    text = explain(facts("COMPLETE", values=(0.9,), number=1, epochs=27))
    assert "the best of 4 completed trials\n  the rule median never had anything to compare it with" in text
    assert explain(facts("COMPLETE", values=(0.9,), number=1, pruner={"name": "none"})).count("\n") == 0


def test_failed() -> None:
    assert explain(facts("FAIL", failure=FAILURE)).splitlines() == [
        "trial 9 failed at epoch 8: ValueError: no data",
        "    Traceback:",
        "      here�",
        f"  {PRINTED} on box1",
    ]


def test_failed_after_several_attempts() -> None:
    failure = {"cause": "died", "error": "Died", "message": "2 attempts, the last one: gone", "exit_code": -9}
    attempts = [attempt(1, "lost", cause="no sign of life"), attempt(2, cause="died: Died", host="box2")]
    lines = explain(facts("FAIL", failure=failure, attempts=attempts, redone=4)).splitlines()
    assert lines == [
        "trial 9 failed at epoch 8: Died: 2 attempts, the last one: gone (exit code -9, killed by SIGKILL)",
        f"  {PRINTED} on box2",
        "  attempted 2 times",
        "  attempt 1 on box1 ended after 3m 05s: no sign of life",
        "  4 epochs were trained again; the first values stand",
    ]


def test_the_reason_of_a_study_that_ended_is_told() -> None:
    failure = {"cause": "study stopped"}
    text = explain(facts("FAIL", failure=failure, study="stopped", reason="by a\nperson"))
    assert text == "trial 9 was ended at epoch 8 with its study, which was stopped (by a person)"


@pytest.mark.parametrize(
    ("cause", "study", "expected"),
    [
        ("revoked", "running", "was stopped by a person at epoch 8: its task was revoked"),
        (
            "not started",
            "stopped",
            "was never started: it was still in the queue at the end of its study, which was stopped",
        ),
        ("study failed", "failed", "was ended at epoch 8 with its study, which failed"),
        ("study stopped", "finished", "was ended at epoch 8 with its study, which was stopped"),
        ("", "running", "was ended as failed at epoch 8 by another program, which recorded no reason"),
    ],
)
def test_failed_without_a_fault_of_its_own(cause: str, study: str, expected: str) -> None:
    failure = {"cause": cause, "error": "Revoked", "message": "m"} if cause else {}
    text = explain(facts("FAIL", failure=failure, study=study, reason=""))
    assert text == f"trial 9 {expected}"


def test_its_peak_memory() -> None:
    found = facts("COMPLETE", values=(0.85,), measured={PEAK_MEMORY: 1_500_000_000, PEAK_GPU_MEMORY: 20_000_000_000})
    assert explain(found).splitlines()[-1] == (
        "  its processes held 1.5 GB of memory at the peak, PyTorch held 20.0 GB on the GPU at the peak"
    )
    assert (to_json(found)[PEAK_MEMORY], to_json(facts())[PEAK_MEMORY]) == (1_500_000_000, None)
