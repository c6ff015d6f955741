"""The life of an attempt: every state times every event, against what is written down here."""

from __future__ import annotations

import pytest

from orchestrator.lifecycle import LIVE, TRANSITIONS, WAITING, AttemptEvent, AttemptState, after

EVENTS = ("send", "start", "verdict", "end", "lose", "pause", "promote")
EXPECTED = {
    #            send      start       verdict     end     lose     pause    promote
    "queued": ("sent", "running", "stopping", "done", None, None, None),
    "sent": ("sent", "running", "stopping", "done", None, None, None),
    "running": (None, None, "stopping", "done", "lost", "paused", None),
    "stopping": (None, "stopping", "stopping", "done", "lost", None, None),
    "paused": (None, None, None, "done", None, None, "done"),
    "done": (None,) * 7,
    "lost": (None,) * 7,
}


def test_the_table_below_names_every_state_and_every_event() -> None:
    assert set(EXPECTED) == set(AttemptState)
    assert set(EVENTS) == set(AttemptEvent)


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", EXPECTED)
def test_every_event_in_every_state(state: str, event: str) -> None:
    assert after(AttemptState(state), AttemptEvent(event)) == EXPECTED[state][EVENTS.index(event)]


@pytest.mark.parametrize("state", ["done", "lost"])
def test_nothing_leaves_an_end(state: str) -> None:
    assert not [pair for pair in TRANSITIONS if pair[0] == state]


def test_an_attempt_is_live_until_it_has_ended() -> None:
    assert frozenset(AttemptState) - {"done", "lost"} == LIVE


def test_whoever_can_be_sent_waits_for_a_runner() -> None:
    assert {state for state, event in TRANSITIONS if event == "send"} == WAITING


def test_every_live_state_can_end_and_is_reached_from_the_first() -> None:
    assert {state for state, event in TRANSITIONS if event == "end"} == LIVE
    reached = {AttemptState.QUEUED}
    for _ in AttemptState:
        reached |= {to for (state, _), to in TRANSITIONS.items() if state in reached}
    assert reached == set(AttemptState)


def test_whoever_has_paused_can_be_told_nothing_and_be_lost_no_more() -> None:
    """No runner is bound to it in any sense that matters: the slot trains something else by now."""
    assert {event for state, event in TRANSITIONS if state == "paused"} == {"end", "promote"}
    assert {state for state, event in TRANSITIONS if event == "pause"} == {"running"}
