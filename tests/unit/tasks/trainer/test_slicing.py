"""When a slice is over, and when an objective that cannot be paused is told so."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contract import Slice
from tasks.trainer.slicing import CheckpointMissing, SliceTracker, TrialPaused

PLAN = Slice(until_step=3, checkpoint_by=6)
RESTARTING = Slice(until_step=3, checkpoint_by=6, restart=True)


def end_of(plan: Slice | None, moves: str) -> tuple[str, int]:
    """Plays ``r1 s1 r2`` (report, save, f for a save that fails); returns how it ended, and after how many moves."""
    slicing = SliceTracker(plan)
    for count, move in enumerate(moves.split(), 1):
        step = int(move[1:])
        if move[0] == "f":
            slicing.not_saved()
        else:
            {"r": slicing.reported, "s": slicing.saved}[move[0]](step)
        try:
            slicing.check()
        except TrialPaused:
            return "over", count
        except CheckpointMissing:
            return "refused", count
    return "goes on", 0


@pytest.mark.parametrize(
    ("moves", "end"),
    [
        ("r1 s1 r2 s2 r3 s3 r4 s4", ("over", 6)),
        ("s1 r1 s2 r2 s3 r3 s4 r4", ("over", 6)),
        ("r1 r2 s2 r3 r4 s4", ("over", 6)),
        ("r3 s2", ("goes on", 0)),
        ("s3 r2", ("goes on", 0)),
        ("r5 s9", ("over", 2)),
        ("s9 r2 r3", ("over", 3)),
        ("r0 r1 r2 r3 r4 r5", ("goes on", 0)),
        ("r1 r2 r3 r4 r5 r6", ("refused", 6)),
        ("r1 r9", ("refused", 2)),
        ("s1 r1 r6 r7 r8", ("goes on", 0)),
        ("s0 r8", ("goes on", 0)),
        ("r1 f1 r6 f6 r7", ("goes on", 0)),
        ("r1 f1 r6 s6", ("over", 4)),
    ],
)
def test_the_end_of_a_slice(moves: str, end: tuple[str, int]) -> None:
    assert end_of(PLAN, moves) == end


@pytest.mark.parametrize(
    ("moves", "end"),
    [("r1 r2 r3", ("over", 3)), ("s3 r2", ("goes on", 0)), ("s1 s2 r7", ("over", 3))],
)
def test_where_trials_begin_again_the_report_alone_ends_it(moves: str, end: tuple[str, int]) -> None:
    assert end_of(RESTARTING, moves) == end


def test_a_trial_without_a_slice_runs_to_its_end() -> None:
    assert end_of(None, "r1 r2 s2 r100 s100") == ("goes on", 0)


def test_a_slice_whose_end_was_lost_ends_with_the_first_report_of_the_next_attempt() -> None:
    """Report and checkpoint of step 3 were recorded, the pause was not: it goes on from there, and reports 4."""
    assert end_of(PLAN, "s3 r4") == ("over", 2)


def test_a_checkpoint_from_before_the_end_is_no_end() -> None:
    assert end_of(PLAN, "s2 r3 s3") == ("over", 3)


def test_an_objective_that_swallows_it_meets_it_again() -> None:
    slicing = SliceTracker(PLAN)
    slicing.reported(3)
    slicing.saved(3)
    for _ in range(2):
        with pytest.raises(TrialPaused):
            slicing.check()
    slicing.reported(4)
    assert (slicing.over, slicing.last_report) == (True, 4)


def test_the_refusal_says_what_to_do() -> None:
    slicing = SliceTracker(PLAN)
    slicing.reported(6)
    with pytest.raises(CheckpointMissing) as caught:
        slicing.check()
    message = str(caught.value)
    assert "\n" not in message
    for piece in (
        "paused at step 3",
        "by step 6",
        "save_checkpoint(state, step)",
        "load_checkpoint()",
        "restart = true",
    ):
        assert piece in message


@given(
    st.integers(0, 8),
    st.integers(0, 4),
    st.lists(st.tuples(st.sampled_from("rs"), st.integers(0, 15)), max_size=12),
)
def test_it_ends_at_the_first_moment_at_which_both_have_been_made(
    until: int, more: int, moves: list[tuple[str, int]]
) -> None:
    plan = Slice(until_step=until, checkpoint_by=until + more)
    slicing = SliceTracker(plan)
    for count, (kind, step) in enumerate(moves, 1):
        {"r": slicing.reported, "s": slicing.saved}[kind](step)
        past = moves[:count]
        both = all(any(each == want and at >= until for each, at in past) for want in "rs")
        none = not any(each == "s" for each, _ in past)
        late = any(each == "r" and at >= plan.checkpoint_by for each, at in past)
        assert (slicing.over, slicing.refused) == (both, none and late)


def test_the_order_of_report_and_checkpoint_loses_no_step() -> None:
    """Both orders leave with the report and the checkpoint of the same step."""
    for order in itertools.permutations("rs"):
        moves = " ".join(f"{kind}{step}" for step in range(1, 9) for kind in order)
        assert end_of(PLAN, moves) == ("over", 6)
