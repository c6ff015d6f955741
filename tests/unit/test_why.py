"""One trial's story in words, for each way in which a trial can stand or end."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.answer import to_json
from orchestrator.changes import AttemptRow, DecisionAction, DecisionRow
from orchestrator.pruning import Decision
from orchestrator.recorded import StudyFacts, TrialFacts
from orchestrator.why import explain

AT = 1_700_000_000.0
MEDIAN = {"name": "median", "n_startup_trials": 5}
ASHA = {"name": "asha", "reduction_factor": 3, "min_resource": 1, "bootstrap_count": 0, "mode": "stopping"}
PROMOTION = ASHA | {"mode": "promotion"}
IMPATIENT = "no improvement in the last 4 reports: best of them 0.41"
PRINTED = "'orchestrator logs search 9' shows what it printed,"
COMPLETED = {1: 0.9, 4: 0.7, 5: 0.8, 9: 0.85}


def row(
    action: DecisionAction, step: int, value: float, threshold: float | None, peers: int, rule: str = "median"
) -> DecisionRow:
    return DecisionRow(9, action, rule, step, value, threshold, peers, AT)


def attempt(number: int = 1, state: str = "done", **changes: Any) -> AttemptRow:
    fields: dict[str, Any] = {"host": "box1", "device": "cuda:0", "started": AT, "ended": AT + 185}
    return AttemptRow(f"token-{number}", 9, number, state, AT, **fields | changes)


def facts(
    state: str = "PRUNED",
    pruner: dict[str, Any] | None = None,
    epochs: int = 8,
    direction: Any = "maximize",
    study: str = "running",
    reason: str = "",
    max_steps: int | None = 27,
    **changes: Any,
) -> TrialFacts:
    spec = {"max_steps": max_steps, "pruner": pruner or MEDIAN, "shadow": changes.pop("shadow", {"name": "none"})}
    given: dict[str, Any] = {
        "study": StudyFacts("search", direction, spec, study, reason, 40, COMPLETED),
        "number": 9,
        "state": state,
        "values": (),
        "params": {"lr": 0.01},
        "steps": {epoch: epoch / 10 for epoch in range(1, epochs + 1)},
        "attempts": [attempt()],
    }
    return TrialFacts(**given | changes)


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
            "at epoch 9: 3 values at this rung, nobody passes before there are more than 4",
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


def test_nothing_is_said_of_epochs_that_nobody_counted() -> None:
    text = explain(facts(decisions=[row("prune", 8, 0.41, 0.63, 12)], max_steps=None))
    assert text.count("\n") == 0


def test_pruned_by_the_objective_itself_or_by_somebody_else() -> None:
    assert explain(facts(attempts=[attempt(cause="finished")], closest=None)).startswith(
        "trial 9 was pruned by the objective itself at epoch 8\n"
    )
    assert explain(facts(attempts=[])).startswith(
        "trial 9 was ended as pruned at epoch 8 by another program, on what grounds was not recorded"
    )


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


FAILURE = {
    "cause": "exception",
    "error": "ValueError",
    "message": "no\ndata",
    "traceback": "Traceback:\n  here\x1b\n\n",
}


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
        ("", "running", "was ended as failed at epoch 8 by another program, for what reason was not recorded"),
    ],
)
def test_failed_without_a_fault_of_its_own(cause: str, study: str, expected: str) -> None:
    failure = {"cause": cause, "error": "Revoked", "message": "m"} if cause else {}
    text = explain(facts("FAIL", failure=failure, study=study, reason=""))
    assert text == f"trial 9 {expected}"


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
        ({"attempts": [], "steps": {}}, "was asked for by another program, and is not known to run"),
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


PROMOTED = row("promote", 3, 0.71, 0.69, 9, "asha")


@pytest.mark.parametrize(
    ("decision", "mode", "expected"),
    [
        ((0.70, 0.75, 3), "promotion", "of 3 trials there the best 1 goes on, which has 0.75"),
        ((0.70, 0.75, 7), "promotion", "of 7 trials there the best 2 go on, the last of them has 0.75"),
        ((0.70, None, 2), "promotion", "of 2 trials there nobody goes on"),
        ((0.70, 0.70, 3), "promotion", "within the best 1/3 of 3 trials, and no slot was free for it yet"),
        ((0.70, 0.75, 3), "sync", "of 3 trials there those with 0.75 or better go on"),
    ],
)
def test_paused(decision: tuple[float, float | None, int], mode: str, expected: str) -> None:
    value, threshold, peers = decision
    found = facts(
        "RUNNING",
        pruner=PROMOTION | {"mode": mode},
        attempts=[attempt(1, cause="promoted"), attempt(2, "paused")],
        decisions=[PROMOTED],
        standing=Decision(True, "asha", 9, value, threshold, peers),
    )
    first, second = explain(found).splitlines()
    assert first == f"trial 9 is paused at epoch 9 with 0.7: {expected}"
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
            "trial 9 was paused at epoch 9 with 0.7 and not promoted: "
            "of 3 trials there the best 1 went on, which has 0.75; it ended as PRUNED with the study"
        ),
        "  (19 of 27 epochs not trained)",
        "  at epoch 3: value 0.71, within the best 1/3 of 9 trials: promoted",
    ]


def test_promoted_and_in_the_queue() -> None:
    attempts = [attempt(1, cause="promoted"), attempt(2, "sent", host="")]
    found = facts("RUNNING", pruner=PROMOTION, attempts=attempts, decisions=[PROMOTED])
    assert explain(found).startswith("trial 9 was promoted and waits in the queue with 8 epochs trained\n")


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


def test_what_is_foreign_cannot_move_the_cursor() -> None:
    failure = FAILURE | {"message": "\x1b[2J\r\nboo"}
    assert "\x1b" not in explain(facts("FAIL", failure=failure, attempts=[attempt(host="\x1b[2J")]))


def test_json_has_it_all_and_is_json() -> None:
    found = facts(
        decisions=[row("prune", 8, math.nan, math.inf, 12), row("shadow", 3, 0.1, None, 6, "asha"), PROMOTED],
        attempts=[attempt(verdict="pruned", verdict_step=8, latency=0.0094, signal_latency=0.001)],
        closest=row("keep", 5, 0.65, 0.63, 12),
        values=(math.inf,),
    )
    answer = json.loads(json.dumps(to_json(found), allow_nan=False))
    assert (answer["study"], answer["trial"], answer["state"], answer["value"], answer["epochs"]) == (
        "search",
        9,
        "PRUNED",
        None,
        8,
    )
    assert answer["params"] == {"lr": 0.01}
    assert answer["decision"] == {
        "action": "prune",
        "rule": "median",
        "step": 8,
        "value": None,
        "threshold": None,
        "peers": 12,
        "at": AT,
    }
    assert (answer["closest"]["threshold"], answer["shadow"]["rule"], answer["audit"]) == (0.63, "asha", None)
    assert [each["step"] for each in answer["promotions"]] == [3]
    assert (answer["latency_ms"], answer["attempts"][0]["signal_latency_ms"]) == (9.4, 1.0)
    assert answer["text"] == explain(found)


@pytest.mark.parametrize(
    ("source", "first", "said"),
    [("bb", (2, "aa"), True), ("aa", (2, "aa"), False), ("", (2, "aa"), False), ("", None, False)],
)
def test_other_source_than_the_first_trials_is_said(source: str, first: tuple[int, str] | None, said: bool) -> None:
    text = explain(facts(source=source, first_source=first))
    assert ("\n  trained with other source than trial 2" in text) is said
