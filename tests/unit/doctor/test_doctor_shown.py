"""What people and programs get to see of findings."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from doctor_facts import WELL, leaderless, redis
from rich.console import Console

from orchestrator.doctor.checks import findings
from orchestrator.doctor.facts import DeadLetter, Facts, Stream
from orchestrator.doctor.finding import Code, Group
from orchestrator.doctor.render import has_problem, render, to_json

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"


def shown(facts: Facts, mended: list[str] | None = None, width: int = 100, *, terminal: bool = False) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, highlight=False, markup=False)
    console.print(render(findings(facts), mended))
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_where_all_is_well_it_is_a_line_each_and_one_that_says_so() -> None:
    lines = shown(WELL, width=200)
    assert len(lines) == len(Group) + len(findings(WELL)) + 2
    assert lines[-1] == "nothing is wrong"
    assert lines[3:5] == [
        "redis",
        "  ok       redis://host:6379/0: Redis 7.0.15, noeviction, append-only file, 1.0 MB used, answers in 0.2 ms",
    ]


def test_trouble_says_what_it_is_what_to_do_and_what_is_mended() -> None:
    lines = shown(redis(policy="allkeys-lru", stream=Stream(group=False)), width=300)
    begin = next(index for index, line in enumerate(lines) if "problem" in line)
    assert lines[begin] == (
        "  problem  maxmemory-policy: is allkeys-lru: once memory is full it throws away queues and events  "
        "[redis-eviction]"
    )
    assert lines[begin + 1].startswith("           → redis-cli CONFIG SET maxmemory-policy noeviction")
    assert "(--repair)" not in lines[begin + 1]
    group = next(index for index, line in enumerate(lines) if "[group-missing]" in line)
    assert lines[group + 1].endswith("(--repair)")
    assert lines[-1] == "1 problem, 1 warning; --repair does what is marked"


def test_foreign_text_cannot_move_the_cursor_and_nothing_is_wider_than_the_screen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Colours are for terminals that have them.
    monkeypatch.setenv("TERM", "xterm-256color")
    letter = DeadLetter(2.0, "\x1b[2Jreason\nof two lines", "data" * 30)
    lines = shown(redis(dead=1, newest_dead=(letter,)), width=60)
    assert not [line for line in lines if "\x1b" in line or len(line) > 60]
    assert any("reason of two lines" in " ".join(lines[index : index + 2]) for index in range(len(lines)))
    assert "\x1b[" in "".join(shown(WELL, terminal=True)), "colours are for terminals"


def test_what_was_mended_comes_first() -> None:
    assert shown(WELL, ["made the group", "rang"])[:3] == ["mended   made the group", "mended   rang", ""]
    assert shown(WELL, [])[:2] == ["nothing to mend", ""]


def test_for_programs() -> None:
    facts = redis(leaderless(), stream=Stream(group=False))
    found = findings(facts)
    data = json.loads(json.dumps(to_json(facts, found, ["rang"])))
    assert (data["ok"], data["mended"]) == (False, ["rang"])
    assert data["ok"] is not has_problem(found)
    (missing,) = (each for each in data["findings"] if each["code"] == "group-missing")
    assert (missing["severity"], missing["group"], missing["repairable"]) == ("warning", "queue and stream", True)
    assert data["facts"]["redis"]["policy"] == "noeviction"
    assert to_json(WELL, findings(WELL))["ok"] is True
    assert "mended" not in to_json(WELL, findings(WELL))


def test_the_page_has_a_row_for_each_code_below_its_group() -> None:
    described: dict[str, set[str]] = {}
    group = ""
    for line in PAGE.read_text().partition("\n## doctor\n")[2].splitlines():
        if heading := re.match(r"### (.+)", line):
            group = heading[1].lower()
        elif row := re.match(r"\| `([a-z-]+)` \|", line):
            described.setdefault(group, set()).add(row[1])
    assert described == {str(each): {code.value for code in Code if code.group is each} for each in Group}
