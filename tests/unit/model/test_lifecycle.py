"""The life of an attempt: every state times every event, against what is written down here and drawn in the docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.model.changeset import AttemptRow
from orchestrator.model.lifecycle import LIVE, TRANSITIONS, WAITING, AttemptEvent, AttemptState, Guard, after

EVENTS = ("send", "start", "verdict", "end", "lose", "pause", "promote")
EXPECTED = {
    #            send      start       verdict     end     lose     pause    promote
    "queued": ("sent", "running", "stopping", "done", None, None, None),
    "sent": ("sent", "running", "stopping", "done", None, None, None),
    "running": (None, None, "stopping", "done", "lost", "paused", None),
    "stopping": (None, "stopping", None, "done", "lost", None, None),
    "paused": (None, None, None, "done", None, None, "done"),
    "done": (None,) * 7,
    "lost": (None,) * 7,
}
DRAWN = re.compile(r"^    (\S+) --> (\S+)(?: : (.+))?$", re.MULTILINE)


def attempt(*, runner: str = "", verdict: str = "") -> AttemptRow:
    return AttemptRow("token", 0, 1, "sent", 0.0, runner=runner, verdict=verdict)


def test_the_table_below_names_every_state_and_every_event() -> None:
    assert set(EXPECTED) == set(AttemptState)
    assert set(EVENTS) == set(AttemptEvent)


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", EXPECTED)
def test_every_event_in_every_state(state: str, event: str) -> None:
    assert after(AttemptState(state), AttemptEvent(event), attempt()) == EXPECTED[state][EVENTS.index(event)]


@pytest.mark.parametrize("state", EXPECTED)
def test_no_second_runner_starts_an_attempt(state: str) -> None:
    assert after(AttemptState(state), AttemptEvent.START, attempt(runner="first")) is None


@pytest.mark.parametrize("state", EXPECTED)
def test_no_second_verdict_takes_the_place_of_the_first(state: str) -> None:
    assert after(AttemptState(state), AttemptEvent.VERDICT, attempt(verdict="pruned")) is None


@pytest.mark.parametrize("state", sorted(set(EXPECTED) - {"queued"}))
def test_whatever_has_started_is_not_sent_again(state: str) -> None:
    assert after(AttemptState(state), AttemptEvent.SEND, attempt(runner="first")) is None


@pytest.mark.parametrize("state", ["done", "lost"])
def test_nothing_leaves_an_end(state: str) -> None:
    assert not [pair for pair in TRANSITIONS if pair[0] == state]


def test_an_attempt_is_live_until_it_has_ended() -> None:
    assert frozenset(AttemptState) - {"done", "lost"} == LIVE


def test_an_attempt_that_can_be_sent_waits_for_a_runner() -> None:
    assert {state for state, event in TRANSITIONS if event == "send"} == WAITING


def test_every_live_state_can_end_and_is_reached_from_the_first() -> None:
    assert {state for state, event in TRANSITIONS if event == "end"} == LIVE
    reached = {AttemptState.QUEUED}
    for _ in AttemptState:
        reached |= {transition.to for (state, _), transition in TRANSITIONS.items() if state in reached}
    assert reached == set(AttemptState)


def test_a_paused_attempt_takes_no_verdict_and_cannot_be_lost() -> None:
    """No runner is bound to it in any sense that matters: the slot trains something else by now."""
    assert {event for state, event in TRANSITIONS if state == "paused"} == {"end", "promote"}
    assert {state for state, event in TRANSITIONS if event == "pause"} == {"running"}


def test_the_diagram_draws_the_table() -> None:
    text = (Path(__file__).parents[3] / "docs" / "lifecycle.md").read_text()
    drawn = {(start, end, label) for start, end, label in DRAWN.findall(text) if start != "[*]" and end != "[*]"}
    table = {
        (state.value, to.value, event.value + (f" [{guard.value}]" if guard is not Guard.NONE else ""))
        for (state, event), (to, guard) in TRANSITIONS.items()
    }
    assert drawn == table
    ends = {start for start, end, _ in DRAWN.findall(text) if end == "[*]"}
    begins = {end for start, end, _ in DRAWN.findall(text) if start == "[*]"}
    assert ends == set(AttemptState) - LIVE
    assert begins == {AttemptState.QUEUED}
