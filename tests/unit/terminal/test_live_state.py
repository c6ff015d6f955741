"""The fold behind the live view: the ETA, the slots, the trials that ended last."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from made_notices import ended, folded, progress, slot

from orchestrator.model.progress_events import Notice, OtherSource
from orchestrator.terminal.live_state import FORGET_SECONDS, RECENT, ViewState, fold


def after(*notices: tuple[float, Notice]) -> ViewState:
    state = ViewState()
    for now, notice in notices:
        state = fold(state, notice, now)
    return state


def at_ends(times: Iterable[float], slots: int = 1, state: str = "running") -> ViewState:
    """A study of 40 trials that is seen at 100 s with none ended, then one ends at each of ``times``."""
    lines = tuple(slot(index) for index in range(slots))
    notices = [(100.0, progress(complete=0, pruned=0, failed=0, slots=lines))]
    for position, now in enumerate(times, start=1):
        notices.append((now, progress(complete=position, pruned=0, failed=0, slots=lines, state=state)))
    return after(*notices)


def test_the_eta_is_trials_left_times_the_mean_time_between_ends() -> None:
    state = at_ends([102.0, 104.0, 106.0, 108.0])

    assert state.eta == pytest.approx(36 * 2.0)
    assert state.elapsed == 8.0


def test_the_eta_counts_down() -> None:
    state = at_ends([102.0, 104.0])

    assert state.at(105.0).eta == pytest.approx(38 * 2.0 - 1.0)
    # A notice in which nothing ended changes nothing.
    later = fold(state, progress(complete=2, pruned=0, failed=0), 105.0)
    assert later.at(106.0).eta == pytest.approx(38 * 2.0 - 2.0)


def test_no_eta_without_anything_to_say() -> None:
    assert ViewState().eta is None
    assert at_ends([]).eta is None
    assert at_ends([105.0]).eta is None
    assert at_ends([105.0, 106.0, 107.0], slots=4).eta is None
    assert at_ends([105.0, 106.0, 107.0, 108.0], slots=4).eta is not None


def test_no_eta_while_the_study_does_not_run() -> None:
    assert at_ends([102.0, 104.0], state="paused").eta is None
    assert at_ends(range(102, 142)).eta is None


def test_no_eta_once_it_has_run_out() -> None:
    state = at_ends([102.0, 104.0])

    assert state.at(104.0 + 38 * 2.0 - 0.5).eta == pytest.approx(0.5)
    assert state.at(104.0 + 38 * 2.0).eta is None


def test_the_past_that_is_read_back_is_no_pace() -> None:
    replayed = [(100.0 + n / 1000, progress(complete=n, pruned=0, failed=0, slots=())) for n in range(20)]
    state = after(*replayed)

    assert state.eta is None
    for now in (105.0, 110.0):
        state = fold(state, progress(complete=state.ended + 1, pruned=0, failed=0, slots=()), now)
    assert state.eta == pytest.approx(19 * 5.0, rel=0.01)


def test_a_pause_does_not_slow_the_pace() -> None:
    state = at_ends([102.0, 104.0])
    state = fold(state, progress(complete=2, pruned=0, failed=0, state="paused"), 104.0)
    state = fold(state, progress(complete=2, pruned=0, failed=0), 1104.0)
    state = fold(state, progress(complete=3, pruned=0, failed=0), 1106.0)

    assert state.eta == pytest.approx(37 * 2.0)


def test_a_clock_that_goes_back_is_held() -> None:
    state = after((100.0, progress()), (90.0, progress()))

    assert state.now == 100.0
    assert state.at(50.0).now == 100.0


def test_slots_stay_when_idle_and_are_ordered_by_number() -> None:
    state = after(
        (100.0, progress(slots=(slot(10), slot(2)))),
        (101.0, progress(slots=(slot(2),))),
        (102.0, progress(slots=(slot(2),))),
    )

    assert [seen.line.device for seen in state.slots] == ["gpu 2", "gpu 10"]
    assert [seen.idle_since for seen in state.slots] == [None, 101.0]
    busy = fold(state, progress(slots=(slot(10, trial=99),)), 103.0)
    assert [(seen.line.trial, seen.idle_since) for seen in busy.slots] == [(16, 103.0), (99, None)]


def test_a_slot_that_stays_away_is_forgotten() -> None:
    state = after((100.0, progress(slots=(slot(0),))), (101.0, progress(slots=())))

    assert fold(state, progress(slots=()), 100.9 + FORGET_SECONDS).slots
    assert not fold(state, progress(slots=()), 101.0 + FORGET_SECONDS).slots


def test_only_the_last_ended_trials_are_kept() -> None:
    state = after(*((100.0, ended(number)) for number in range(50)))

    assert [trial.number for trial in state.recent] == list(range(49, 49 - RECENT, -1))


def test_other_source_is_shown_as_long_as_the_view_lasts() -> None:
    state = folded([progress(), OtherSource(number=3, first=0, digest="bb"), progress()])
    assert state.warning.startswith("trial 3 trains with other source than trial 0")
