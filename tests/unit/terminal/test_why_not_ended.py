"""Where a trial stands that runs, waits or is on a rung, and what has become of one that was on a rung."""

from __future__ import annotations

from typing import Any

import pytest
from recorded_trials import PROMOTED, PROMOTION, attempt, facts, row

from orchestrator.pruning import Decision
from orchestrator.terminal.why_text import explain


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"attempts": [attempt(state="running")]},
            "is running at epoch 8 with 0.8, 8 of 27 epochs trained, on box1, cuda:0",
        ),
        ({"attempts": [attempt(state="running")], "steps": {}}, "is running, no epoch reported yet, on box1, cuda:0"),
        ({"attempts": [attempt(state="sent", host="")], "steps": {}}, "has not begun: it waits in the queue"),
        (
            {"attempts": [attempt(state="queued")], "steps": {}, "study": "paused"},
            "has not begun: it waits in the queue, and the study is paused",
        ),
        ({"attempts": [], "steps": {}}, "was created by another program, and no worker here trains it"),
    ],
)
def test_not_ended(changes: dict[str, Any], expected: str) -> None:
    steps = changes.pop("steps", None)
    found = facts("RUNNING", pruner={"name": "none"}, **changes | ({} if steps is None else {"steps": steps}))
    assert explain(found) == f"trial 9 {expected}"


def test_running_and_how_close_it_came() -> None:
    found = facts("RUNNING", attempts=[attempt(state="running")], closest=row("keep", 5, 0.65, 0.63, 12))
    assert explain(found).endswith(
        "\n  closest so far: at epoch 5, 0.65 was 0.02 above the median of 12 completed trials"
    )


def test_enqueued_by_a_person() -> None:
    assert explain(facts("WAITING", attempts=[], epochs=0)).startswith("trial 9 waits to be asked for")


def test_a_retry_and_what_was_retried() -> None:
    waits = facts("WAITING", attempts=[], epochs=0, retry_of=7)
    assert explain(waits) == "trial 9 waits to be asked for: it was enqueued with the parameters of trial 7"
    running = facts("RUNNING", pruner={"name": "none"}, attempts=[attempt(state="running")], retry_of=7, retries=[12])
    assert explain(running).splitlines()[1:] == ["  retry of trial 7; retried as trial 12"]
    failed = facts("FAIL", failure={"cause": "exception", "error": "OSError", "message": "full"}, retries=[12, 13])
    assert "  retried as trials 12, 13" in explain(failed).splitlines()


def test_waiting_for_another_attempt() -> None:
    found = facts("RUNNING", attempts=[attempt(cause="released"), attempt(2, "sent", host="")], pruner={"name": "none"})
    assert explain(found).splitlines() == [
        "trial 9 waits in the queue for attempt 2, 8 epochs trained",
        "  attempted 2 times",
        "  attempt 1 on box1 ended after 3m 05s: released",
    ]


@pytest.mark.parametrize(
    ("decision", "mode", "expected"),
    [
        ((0.70, 0.75, 3), "promotion", "of 3 trials there the best 1 goes on, which has 0.75"),
        ((0.70, 0.75, 7), "promotion", "of 7 trials there the best 2 go on, the last of them has 0.75"),
        ((0.70, None, 2), "promotion", "of 2 trials there none goes on"),
        ((0.70, 0.70, 3), "promotion", "within the best 1/3 of 3 trials, and no slot was free for it yet"),
        ((0.70, 0.75, 3), "sync", "of 3 trials there those with 0.75 or better go on"),
    ],
)
def test_on_a_rung(decision: tuple[float, float | None, int], mode: str, expected: str) -> None:
    value, threshold, peers = decision
    found = facts(
        "RUNNING",
        pruner=PROMOTION | {"mode": mode},
        attempts=[attempt(1, cause="promoted"), attempt(2, "paused")],
        decisions=[PROMOTED],
        standing=Decision(True, "asha", 9, value, threshold, peers),
    )
    first, second = explain(found).splitlines()
    assert first == f"trial 9 is on the rung of epoch 9 with 0.7: {expected}"
    assert second.startswith("  at epoch 3: value 0.71, ")
    assert second.endswith(": promoted")
    if mode == "promotion":
        assert "within the best 1/3 of 9 trials" in second


def test_never_promoted() -> None:
    found = facts(
        pruner=PROMOTION,
        attempts=[attempt(1, cause="promoted"), attempt(2, cause="not promoted")],
        decisions=[PROMOTED, row("end", 9, 0.70, 0.75, 3, "asha")],
    )
    assert explain(found).splitlines() == [
        (
            "trial 9 was on the rung of epoch 9 with 0.7 and was not promoted: "
            "of 3 trials there the best 1 went on, which has 0.75; it ended as PRUNED with the study"
        ),
        "  (19 of 27 epochs not trained)",
        "  at epoch 3: value 0.71, within the best 1/3 of 9 trials: promoted",
    ]


def test_promoted_and_in_the_queue() -> None:
    attempts = [attempt(1, cause="promoted"), attempt(2, "sent", host="")]
    found = facts("RUNNING", pruner=PROMOTION, attempts=attempts, decisions=[PROMOTED])
    assert explain(found).startswith("trial 9 was promoted and waits in the queue with 8 epochs trained\n")
