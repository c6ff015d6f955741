"""What holds of the story of every trial: it is JSON too, moves no cursor, and tells of another source."""

from __future__ import annotations

import json
import math

import pytest
from recorded_trials import AT, FAILURE, PROMOTED, attempt, facts, row

from orchestrator.terminal.why_json import to_json
from orchestrator.terminal.why_text import explain


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
