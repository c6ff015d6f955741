"""The trials of a study as a table that fits, and as JSON."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence

import pytest
from rich.cells import cell_len
from rich.console import Console, Group
from rich.text import Text

from orchestrator.model.records import ListedTrial
from orchestrator.terminal.table_layout import Column, lay_out
from orchestrator.terminal.trial_table import remarks, render, to_json
from tasks.contract import PEAK_GPU_MEMORY, PEAK_MEMORY
from tests.unit.terminal.made_trials import NOW, head, listed

PRUNED = {"pruned_by": {"rule": "median", "step": 5, "value": 0.1, "threshold": 0.4, "peers": 3}}
FAILED = {"failure": {"cause": "exception", "error": "ValueError", "message": "bad\nrate", "traceback": "…"}}
TRIALS = [
    listed(head(7, "COMPLETE", 0.98765)),
    listed(head(8, "PRUNED", 0.1234, epochs=5), user_attrs=PRUNED, params={"lr": 0.5}),
    listed(head(9, "FAIL", epochs=0, attempts=3), user_attrs=FAILED | {"retry_of": 2}, last_step=None, last_value=None),
    listed(head(10, "RUNNING", live="running", epochs=3), slot="w@host/1"),
    listed(head(11, "RUNNING", live="sent", epochs=0), last=None, last_step=None, last_value=None, params={}),
    listed(head(12, "WAITING", epochs=0, attempts=0), last=None, last_step=None, last_value=None, params={}),
]


def table(trials: Sequence[ListedTrial] = TRIALS, width: int = 200, objectives: int = 1) -> list[str]:
    return [line.plain for line in render(trials, [7], objectives, width, NOW)[0]]


def test_the_table() -> None:
    told = FAILED | {"failure": FAILED["failure"] | {"message": "no"}}
    trials = [*TRIALS[:2], listed(TRIALS[2].head, user_attrs=told, last_step=None, last_value=None), *TRIALS[3:]]
    assert table(trials) == [
        "trial  state      value  epochs  step    time  tries  slot  note                    lr  optimizer",
        "   *7  COMPLETE  0.9877      27    27    7.0s      1  0                       0.001235  adam",
        "    8  PRUNED    0.1234       5     5    8.0s      1  0     median at step 5       0.5  –",
        "    9  FAIL           –       0     –    9.0s      3  0     ValueError: no    0.001235  adam",
        "   10  RUNNING   0.5000       3     3  1m 40s      1  1                       0.001235  adam",
        "   11  QUEUED         –       0     –       –      1  –                              –  –",
        "   12  WAITING        –       0     –       –      0  –                              –  –",
    ]
    assert "ValueError: bad, retry of trial 2" in table()[3], "one line of the message"


@pytest.mark.parametrize("width", range(20, 130, 7))
def test_it_fits_and_says_what_it_leaves_out(width: int) -> None:
    lines, left_out = render(TRIALS, [7], 1, width, NOW)
    heads = lines[0].plain.split()
    assert all(cell_len(line.plain) <= max(width, 23) for line in lines)
    assert heads[:3] == ["trial", "state", "value"], "these never give way"
    everything = {"trial", "state", "value", "epochs", "step", "time", "tries", "slot", "note", "lr", "optimizer"}
    assert {*heads, *left_out} == everything
    assert not {*heads} & {*left_out}
    assert ("step" in left_out) >= ("epochs" in left_out), "what tells least goes first"


def test_attempts_are_told_first_where_there_were_several() -> None:
    assert "tries" in render(TRIALS, [], 1, 60, NOW)[0][0].plain
    assert "tries" in render(TRIALS[:2], [], 1, 60, NOW)[1]


def test_several_values() -> None:
    lines = table([listed(head(7, "COMPLETE", 0.5, -2.0)), listed(head(8, "RUNNING", live="running"))], 80, 2)
    assert lines[0].split()[:6] == ["trial", "state", "value", "0", "value", "1"]
    assert lines[1].split()[:4] == ["*7", "COMPLETE", "0.5000", "-2.000"]
    assert lines[2].split()[:4] == ["8", "RUNNING", "–", "–"], "one report does not stand for two values"


def test_foreign_text_stays_in_its_cell() -> None:
    evil = {"a\x1b[31m": "two\nlines", "n" * 99: "v" * 99, "ok": True}
    lines = table([listed(head(0, "COMPLETE", math.inf), params=evil)], 300)
    assert len(lines) == 2
    assert "\x1b" not in "".join(lines)
    assert "inf" in lines[1]
    assert cell_len(lines[0]) < 150


def test_colours_are_styles_and_not_text() -> None:
    lines = render(TRIALS, [7], 1, 200, NOW)[0]
    assert {span.style for span in lines[1].spans} >= {"bold green", "green", "cyan"}
    assert all(isinstance(line, Text) for line in lines)


def test_every_line_can_be_printed_in_colours() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=60, color_system="standard")
    console.print(Group(*render(TRIALS, [7], 1, 60, NOW)[0]))
    output = console.file
    assert isinstance(output, io.StringIO)
    assert "\x1b[32mCOMPLETE" in output.getvalue()


def test_remarks() -> None:
    def said(*arguments: object) -> list[str]:
        return [line.plain for line in remarks(*arguments)]  # type: ignore[arg-type]

    assert said(6, 6, True, 0, 1, []) == []
    assert said(50, 10_000, True, 1, 1, ["slot"]) == [
        "* the best trial",
        "the newest 50 of 10000 trials; --limit 0 shows them all",
        "no room for slot: a wider terminal or JSON shows more",
    ]
    assert said(1, 2, False, 1, 2, [])[:2] == [
        "* on the Pareto front",
        "the first 1 of 2 trials; --limit 0 shows them all",
    ]


def test_for_programs() -> None:
    told = [json.loads(json.dumps(to_json(each, [7], NOW), allow_nan=False)) for each in TRIALS]
    assert (told[0]["number"], told[0]["best"], told[0]["value"], told[0]["values"]) == (7, True, 0.98765, [0.98765])
    assert (told[1]["why"], told[1]["seconds"]) == ("median at step 5: value 0.1, threshold 0.4 of 3 peers", 8.0)
    assert (told[2]["why"], told[2]["retry_of"], told[2]["attempts"]) == ("ValueError: bad\nrate", 2, 3)
    assert [each["standing"] for each in told[3:]] == ["running", "queued", "waiting"]
    assert (told[5]["started"], told[5]["slot"], told[5]["last_value"]) == (None, "", None)


def test_a_column_that_may_shrink_gets_what_is_left() -> None:
    columns = [Column("a", [("x" * 30, "")], least=4), Column("b", [("yy", "")], right=True)]
    assert [line.plain for line in lay_out(columns, 20)[0]] == ["a                  b", "xxxxxxxxxxxxxxx…  yy"]
    assert [line.plain for line in lay_out(columns, 8)[0]] == ["a      b", "xxx…  yy"]


def test_columns_of_the_same_name_are_two() -> None:
    columns = [Column("value", [("1", "")]), Column("value", [("2", "")], rank=1)]
    lines, left_out = lay_out(columns, 12)
    assert [line.plain for line in lines] == ["value  value", "1      2"]
    assert left_out == []


def test_measurements_have_a_column_where_a_trial_was_measured() -> None:
    trials = [listed(TRIALS[0].head, measured={PEAK_MEMORY: 1_500_000_000}), TRIALS[1]]
    lines = table(trials)
    at = lines[0].index("memory")
    assert [line[at - 2 : at + 6].strip() for line in lines] == ["memory", "1.5 GB", "–"]
    assert "gpu memory" not in lines[0]
    assert "memory" not in table()[0]
    found = to_json(trials[0], [], NOW)
    assert (found[PEAK_MEMORY], found[PEAK_GPU_MEMORY]) == (1_500_000_000, None)
