"""When a trial counts as silent: by its own pace, or before it has one by that of the study's other trials."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model.progress_events import Progress, SlotLine
from orchestrator.model.silence import FACTOR, LEAST_SECONDS, Paces, Silence
from orchestrator.terminal.live_frame import MOST_SILENT, silent_lines

NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("quiet", "pace", "others", "silent"),
    [
        (1200.0, 0.3, [], 0.3),
        (9.0, 0.01, [], None),
        (11.0, 0.01, [], 0.01),
        (600.0, 60.0, [], None),
        (1201.0, 60.0, [], 60.0),
        # Before it has a pace.
        (11.0, None, [], None),
        (11.0, None, [0.1, 0.2, 100.0], 0.2),
        (1200.0, 0.3, [500.0], 0.3),
        # Nothing is expected: its objective is imported, it waits for a value, it was told to stop.
        (None, 0.3, [0.3], None),
    ],
)
def test_silent_is_what_says_nothing_for_far_longer_than_usual(
    quiet: float | None, pace: float | None, others: list[float], silent: float | None
) -> None:
    paces = Paces()
    for trial, other in enumerate(others, start=1):
        assert paces.judge(trial, 0.0, other, NOW) is None
    expected = None if silent is None or quiet is None else Silence(NOW - quiet, silent)
    assert paces.judge(0, quiet, pace, NOW) == expected


@given(st.lists(st.tuples(st.integers(0, 200), st.floats(0, 1e6), st.none() | st.floats(0, 1e6)), max_size=200))
def test_no_trial_is_silent_within_its_usual_pause(heard: list[tuple[int, float, float | None]]) -> None:
    paces = Paces()
    for trial, quiet, pace in heard:
        found = paces.judge(trial, quiet, pace, NOW)
        assert found is None or quiet > max(LEAST_SECONDS, FACTOR * found.pace)
    assert len(paces._by_trial) <= 50


@pytest.mark.parametrize("value", [None, "x", {}, {"since": "now", "pace": 1}, {"since": None, "pace": 1}, []])
def test_what_is_kept_and_no_silence_is_none(value: object) -> None:
    assert Silence.read(value) is None


def test_it_is_shown_in_words() -> None:
    line = SlotLine(slot="w@h/0", device="cpu", trial=3, attempt=1, step=7, silent=1190.0, pace=0.3)
    progress = Progress(
        study="s", state="running", reason="", budget=9, complete=0, pruned=0, failed=0, running=1, waiting=0, epochs=7,
        max_steps=None, epochs_saved=0, best=None, slots=(line,) * (MOST_SILENT + 2),
    )  # fmt: skip
    lines = [text.plain for text in silent_lines(progress, 10.0)]
    assert lines[0] == "trial 3: last report 20m 00s ago, usually every 0.30s"
    assert lines[-1] == "… and 3 more trials are silent"
    assert len(lines) == MOST_SILENT
