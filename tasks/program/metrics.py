"""Reads the metrics of a program: lines of JSON on a descriptor of its own, or patterns over its output."""

from __future__ import annotations

import json
import math
import re
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, NamedTuple

LONGEST_LINE = 1 << 20
LONGEST_MATCHED = 16 << 10
"""Characters of a line in which patterns are looked for."""

PATTERN_SECONDS = 1.0
"""Processor time that the patterns may take for one line."""

CHECKPOINT = "checkpoint"
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_LINE_ENDS = re.compile(rb"[\r\n]+")


class BadReport(ValueError):
    """The program has reported something that cannot be understood; the message is one line."""


class Report(NamedTuple):
    """One line: metrics by their names, and whether the checkpoint folder holds the state that belongs to them."""

    metrics: dict[str, float]
    checkpoint: bool = False


class LineReader:
    """Cuts a stream of bytes into lines; a carriage return ends one, as in progress bars."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields the lines that ``data`` has ended."""
        *lines, self._rest = _LINE_ENDS.split(self._rest + data)
        yield from filter(None, lines)
        if len(self._rest) > LONGEST_LINE:
            line, self._rest = self._rest, b""
            yield line

    def end(self) -> Iterator[bytes]:
        """Yields what stands behind the last line's end."""
        if self._rest:
            line, self._rest = self._rest, b""
            yield line


def read_report(line: bytes) -> Report:
    """Reads a line of the report descriptor: one JSON object, numbers by the names of their metrics.

    ``null`` is NaN, as JavaScript writes it. ``"checkpoint": true`` says that the checkpoint folder is complete.

    Raises:
        BadReport: it is something else.
    """
    shown = line[:200].decode(errors="replace")
    if len(line) > LONGEST_LINE:
        raise BadReport(f"a report has more than {LONGEST_LINE} bytes; it begins with '{shown:.80}'")
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise BadReport(f"a report is no JSON: '{shown}'; write one object a line") from None
    if not isinstance(found, dict):
        raise BadReport(f'a report is no JSON object: \'{shown}\'; write one such as {{"step": 1, "loss": 0.5}}')
    saved = found.pop(CHECKPOINT, False)
    if not isinstance(saved, bool):
        raise BadReport(f"'{CHECKPOINT}' is {saved!r:.80} in a report, but must be true or false")
    return Report({name: _number(name, value) for name, value in found.items()}, saved)


class PatternReader:
    """Finds metrics in the output of a program.

    Args:
        patterns: Regular expressions by the name of the metric that their first group is.
    """

    def __init__(self, patterns: Mapping[str, str]) -> None:
        self._patterns = {name: re.compile(text) for name, text in patterns.items()}

    def read(self, line: bytes) -> Report:
        """Returns the metrics of a line; escape sequences of terminals are no part of it.

        Raises:
            BadReport: what a pattern has found is no number, or the patterns take too long for the line.
        """
        text = _ESCAPES.sub("", line[:LONGEST_MATCHED].decode(errors="replace"))
        metrics = {}
        with _limited():
            for name, pattern in self._patterns.items():
                try:
                    found = pattern.search(text)
                except _TooSlow:
                    problem = f"the pattern of '{name}' takes more than {PATTERN_SECONDS:g} s for one line"
                    raise BadReport(f"{problem}: '{text:.200}'") from None
                if found is None or found[1] is None:
                    continue
                try:
                    metrics[name] = float(found[1])
                except ValueError:
                    raise BadReport(f"the pattern of '{name}' found '{found[1]:.100}', which is no number") from None
        return Report(metrics)


def _number(name: str, value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadReport(f"{name!r:.100} is {value!r:.80} in a report, but must be a number")
    try:
        return float(value)
    except OverflowError:
        raise BadReport(f"{name!r:.100} is beyond the range of numbers in a report") from None


class _TooSlow(Exception):
    """A pattern takes too long."""


@contextmanager
def _limited() -> Iterator[None]:
    """Raises ``_TooSlow`` in the main thread after ``PATTERN_SECONDS`` of processor time.

    The interpreter's matcher looks for signals while it searches, so that a handler ends a search that would take
    years.
    """

    def give_up(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        raise _TooSlow

    before = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATTERN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
