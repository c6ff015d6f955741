"""The line log: a line for each trial, in plain text for any input."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
from made_notices import ended, failed, progress

from orchestrator.model.progress_events import Notice, OtherSource, SlotLine, TakenUp
from orchestrator.terminal.log_view import LineView, traceback_lines
from orchestrator.terminal.views import make_view


def logged(*notices: Notice) -> list[str]:
    stream = io.StringIO()
    view = LineView(stream)
    for position, notice in enumerate(notices):
        view.show(notice, float(position))
    view.close()
    return stream.getvalue().splitlines()


def test_a_line_for_each_ended_trial() -> None:
    lines = logged(
        ended(12),
        progress(complete=5, pruned=8, failed=0),
        ended(14, state="COMPLETE", values=(0.99,), epochs=27, seconds=125.0, detail=""),
        progress(complete=6, pruned=8, failed=0),
    )

    assert lines == [
        "study digits running [13/40, best 0.9833 by trial 4]",
        f"trial 12 PRUNED   0.8711 after 8 epochs in 3.1s ({ended().detail}) [13/40, best 0.9833 by trial 4]",
        "trial 14 COMPLETE 0.99 after 27 epochs in 2m 05s [14/40, best 0.9833 by trial 4]",
    ]


def test_trials_of_one_batch_are_counted_one_by_one() -> None:
    lines = logged(progress(), ended(20), ended(21), progress(pruned=9))

    assert [line[line.index("[") :].split(",")[0] for line in lines] == ["[13/40", "[14/40", "[15/40"]


def test_a_failure_shows_its_traceback() -> None:
    lines = logged(progress(best=None), failed(13), progress(failed=2, best=None))

    assert lines[1:] == [
        "trial 13 FAIL     after 3 epochs in 3.1s (ValueError: bad batch) [14/40, no best yet]",
        "    Traceback (most recent call last):",
        '      File "a.py", line 1',
        "    ValueError: bad batch",
    ]


def test_the_same_failure_shows_three_tracebacks() -> None:
    lines = logged(*(failed(number) for number in range(6)), failed(9, detail="KeyError: 'x'"), progress())

    assert sum("Traceback" in line for line in lines) == 4
    assert sum("no more tracebacks of this failure" in line for line in lines) == 1
    assert sum(line.startswith("trial") for line in lines) == 7


def test_a_long_traceback_loses_its_beginning() -> None:
    lines = traceback_lines("\n".join(f"line {number}" for number in range(100)))

    assert lines[0] == "… 70 lines left out"
    assert lines[1] == "line 70"
    assert lines[-1] == "line 99"
    assert len(traceback_lines("\n".join("x" * 30))) == 30


def test_a_failure_without_a_traceback_is_one_line() -> None:
    assert len(logged(progress(), failed(traceback=""), progress(failed=2))) == 2


def test_changes_of_the_study_are_told() -> None:
    lines = logged(
        progress(),
        progress(state="paused"),
        progress(state="paused", epochs=300),
        ended(30),
        progress(state="stopped", reason="target 0.99 reached", pruned=8),
    )

    assert [line.split(" [")[0] for line in lines if line.startswith("study")] == [
        "study digits running",
        "study digits paused",
        "study digits stopped: target 0.99 reached",
    ]
    assert lines[2].startswith("trial 30")


def test_a_trial_without_its_progress_is_told_at_the_end() -> None:
    assert logged(ended(3))[0].endswith("[1 ended]")
    assert logged(progress(), ended(3))[-1].endswith("[14/40, best 0.9833 by trial 4]")


def test_closing_twice_says_nothing_twice() -> None:
    stream = io.StringIO()
    view = LineView(stream)
    view.show(ended(3), 0.0)
    view.close()
    view.close()

    assert stream.getvalue().count("\n") == 1


def test_messages_are_written_at_once() -> None:
    stream = io.StringIO()
    LineView(stream).say("starting 2 workers\nwith 8 slots")

    assert stream.getvalue() == "starting 2 workers with 8 slots\n"


def test_foreign_text_cannot_steer_a_terminal() -> None:
    hostile = "\x1b[31mred\x1b[0m\r\nnext\x07\u2028\ud800"
    lines = logged(
        failed(detail=hostile, traceback=f"Traceback\n  {hostile}\n"), progress(study=hostile, reason=hostile)
    )

    assert all(c.isprintable() for line in lines for c in line)


def test_values_that_are_no_numbers_are_named() -> None:
    lines = logged(progress(), ended(values=(math.nan,)), ended(values=(-math.inf,)), progress(pruned=9))

    assert lines[1].startswith("trial 12 PRUNED   nan after")
    assert lines[2].startswith("trial 12 PRUNED   -inf after")


def test_an_endless_detail_is_cut() -> None:
    assert len(logged(progress(), ended(detail="x" * 10_000), progress(pruned=8))[1]) < 700


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_every_encoding_takes_every_line(encoding: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    view = LineView(stream)
    view.show(failed(detail="学习 🚀 é", traceback="\n".join("🚀" * 40)), 0.0)
    view.show(progress(), 0.0)

    # Nothing waits in a buffer.
    assert b"trial 13 FAIL" in raw.getvalue()


class _Gone(io.StringIO):
    def flush(self) -> None:
        raise BrokenPipeError


def test_a_reader_that_left_does_not_end_the_search() -> None:
    view = LineView(_Gone())
    view.say("starting")
    view.show(progress(), 0.0)
    view.close()


def test_what_was_taken_up_is_said_once() -> None:
    notice = TakenUp(numbers=(2,))
    lines = logged(notice, progress(), notice)
    assert sum("was left RUNNING by another program" in line for line in lines) == 1


def test_other_source_is_a_warning() -> None:
    lines = logged(progress(), OtherSource(number=3, first=0, digest="bb"))
    assert lines[-1].startswith("warning: trial 3 trains with other source than trial 0")


def test_a_trial_that_fell_silent_is_said_once() -> None:
    quiet = [
        progress(slots=(SlotLine(slot="w@h/0", device="cpu", trial=3, attempt=1, silent=seconds, pace=0.3),))
        for seconds in (None, 12.0, 14.0)
    ]
    lines = logged(*quiet)
    assert lines[1:] == ["trial 3: last report 12.0s ago, usually every 0.30s"]


def test_an_object_that_can_only_write_and_a_closed_stream_are_written_to_as_far_as_they_go() -> None:
    class Writer:
        def __init__(self) -> None:
            self.text = ""

        def write(self, text: str) -> None:
            self.text += text

    writer: Any = Writer()
    view = make_view(writer)
    view.say("größe …")
    assert writer.text == "größe …\n"
    stream = io.StringIO()
    view = make_view(stream)
    stream.close()
    view.say("lost")
    view.close()
