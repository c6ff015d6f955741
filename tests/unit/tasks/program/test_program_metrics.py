"""What a program may report, and what is said of everything else."""

from __future__ import annotations

import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.program import metrics
from tasks.program.metrics import BadReport, LineReader, PatternReader, Report, read_report

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.text(max_size=10), st.floats() | st.integers(-(10**300), 10**300), max_size=5), st.booleans())
def test_numbers_come_through(found: dict[str, float], saved: bool) -> None:
    found.pop("checkpoint", None)
    report = read_report(json.dumps(found | ({"checkpoint": True} if saved else {})).encode())

    assert report.checkpoint is saved
    assert report.metrics.keys() == found.keys()
    assert all(
        math.isnan(value) if math.isnan(found[name]) else value == float(found[name])
        for name, value in report.metrics.items()
    )


@given(JSON | st.binary(max_size=40))
def test_a_report_is_read_or_refused_in_one_line(value: object) -> None:
    line = value if isinstance(value, bytes) else json.dumps(value).encode()
    try:
        report = read_report(line)
    except BadReport as error:
        refused = str(error)
    else:
        assert all(isinstance(each, float) for each in report.metrics.values())
        return
    assert "\n" not in refused or b"\n" in line
    assert len(refused) < 500


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"0.5", "is no JSON object"),
        (b"loss=0.5", "is no JSON: 'loss=0.5'"),
        (b'{"loss": "0.5"}', "'loss' is '0.5' in a report, but must be a number"),
        (b'{"loss": true}', "'loss' is True"),
        (b'{"checkpoint": 3}', "'checkpoint' is 3 in a report, but must be true or false"),
        (b'{"loss": 1' + b"0" * 400 + b"}", "beyond the range"),
        (b"[" * 100_000, "is no JSON"),
        (b'{"a": ' + b" " * (1 << 20) + b"1}", "more than 1048576 bytes"),
    ],
)
def test_what_cannot_be_understood_is_named(line: bytes, problem: str) -> None:
    with pytest.raises(BadReport, match=problem):
        read_report(line)


def test_null_is_nan_as_javascript_writes_it() -> None:
    assert math.isnan(read_report(b'{"loss": null}').metrics["loss"])


@given(st.lists(st.binary(max_size=30)))
def test_lines_are_the_same_however_they_are_cut(pieces: list[bytes]) -> None:
    reader, whole = LineReader(), LineReader()
    cut = [line for piece in pieces for line in reader.feed(piece)] + list(reader.end())

    assert cut == [*whole.feed(b"".join(pieces)), *whole.end()]
    assert cut == [line for line in b"".join(pieces).replace(b"\r", b"\n").split(b"\n") if line]


def test_a_line_without_an_end_is_cut() -> None:
    reader = LineReader()

    assert [len(line) for line in reader.feed(b"x" * (metrics.LONGEST_LINE + 5))] == [metrics.LONGEST_LINE + 5]
    assert list(reader.end()) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"epoch 3: loss=0.5 val_acc=0.91", {"epoch": 3.0, "val_acc": 0.91}),
        (b"\x1b[32mval_acc=\x1b[1m0.5\x1b[0m", {"val_acc": 0.5}),
        (b"nothing of interest \xff", {}),
        (b"val_acc=nan", {"val_acc": math.nan}),
    ],
)
def test_patterns_find_metrics(line: bytes, found: dict[str, float]) -> None:
    reader = PatternReader({"epoch": r"epoch (\d+)", "val_acc": r"val_acc=([\d.]+|nan)"})

    assert str(reader.read(line)) == str(Report(found))


def test_what_a_pattern_finds_must_be_a_number() -> None:
    with pytest.raises(BadReport, match="the pattern of 'acc' found '91%', which is no number"):
        PatternReader({"acc": r"acc=(\S+)"}).read(b"acc=91%")


def test_an_optional_group_that_took_no_part_is_no_metric() -> None:
    assert PatternReader({"acc": r"acc(=\d+)?"}).read(b"acc") == Report({})


def test_a_pattern_that_would_take_years_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "PATTERN_SECONDS", 0.1)
    begun = time.process_time()

    with pytest.raises(BadReport, match=r"the pattern of 'acc' takes more than 0.1 s for one line: 'aaa"):
        PatternReader({"acc": r"(a+)+$"}).read(b"a" * 60 + b"!")
    assert time.process_time() - begun < 30
