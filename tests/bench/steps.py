"""From the stamps of ``traced`` to a table: what happens between a report and the next trial, and when."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from tests.bench.figures import Row, duration, quantile, timing

WAY = (
    ("T report", "objective calls report()"),
    ("K report heard", "keeper has read the frame"),
    ("K round begins", "publisher thread awake"),
    ("C read", "control plane has read the stream entry"),
    ("K round ended", "publisher has the answer of XADD + GET"),
    ("C folded", "event folded, decision taken"),
    ("C commit", "commit begins"),
    ("C committed", "commit done"),
    ("C verdict set", "SET of the verdict answered"),
    ("C revoke sent", "revoke published to the worker"),
    ("W revoke received", "worker's main process has the revoke"),
    ("W signal sent", "signal sent"),
    ("K signal", "keeper's signal handler"),
    ("K verdict read", "publisher has read the verdict"),
    ("K stop sent", "Stop frame written to the trainer"),
    ("T left", "exception has reached the objective's handler"),
    ("K left heard", "keeper has read Left"),
    ("K settling", "keeper waits for the trainer's Ready"),
    ("K trainer ready", "trainer is fit for another trial"),
    ("K run returned", "keeper done, back in Celery's task"),
    ("W task received", "main process has the next task off the queue"),
    ("W task handed over", "next task written to the pool process"),
    ("K run", "keeper begins the next job"),
    ("T began", "next objective begins"),
)
SIDE = (
    ("C acknowledged", "XACK + XDEL done"),
    ("C told", "watchers told"),
)


def rows(path: Path, notes: Sequence[Mapping[str, float]]) -> list[Row]:
    """Returns a row for each step: the time since the report, and since the step before.

    Args:
        path: What the traced processes wrote, of one slot.
        notes: What the trials wrote, in the order in which they ran.
    """
    stamps: dict[str, list[float]] = {}
    for line in path.read_text().splitlines():
        at, _, step = line.partition(" ")
        stamps.setdefault(step, []).append(float(at))
    for values in stamps.values():
        values.sort()
    since: dict[str, list[float]] = {}
    for note, following in pairwise(notes):
        for step, stamped in _one(stamps, note, following).items():
            since.setdefault(step, []).append(stamped - note["report"])
    result = []
    before = 0.0
    for step, words in WAY:
        if step in since:
            middle = quantile(since[step], 0.5)
            result.append(_row(step, words, since[step], f"{duration(middle - before)} after the step above"))
            before = middle
    for step, words in SIDE:
        if step in since:
            result.append(_row(step, words, since[step], "beside the way, not on it"))
    return result


def _row(step: str, words: str, values: Sequence[float], note: str) -> Row:
    who = {"T": "trainer", "K": "keeper", "C": "control plane", "W": "worker's main process"}[step[0]]
    return replace(timing(f"{words} ({who})", values), note=note)


def _one(
    stamps: Mapping[str, Sequence[float]], note: Mapping[str, float], following: Mapping[str, float]
) -> dict[str, float]:
    """Returns the first stamp of each step after this trial's report and before the next one's."""
    found = {"T report": note["report"], "T left": note["left"], "T began": following["began"]}
    ordered = {
        "C folded": "C read",
        "C commit": "C read",
        "C committed": "C read",
        "C acknowledged": "C verdict set",
    }
    ordered |= {
        "C told": "C verdict set",
        "K round ended": "K round begins",
        "W task received": "K left heard",
    }
    ordered |= {
        "W task handed over": "W task received",
        "K run": "K left heard",
        "K round begins": "K report heard",
    }
    for step, _ in sorted(WAY + SIDE, key=lambda each: each[0] in ordered):
        if step in found or step not in stamps:
            continue
        found_from = found.get(ordered.get(step, ""), note["report"])
        index = bisect_left(stamps[step], found_from)
        if index < len(stamps[step]) and stamps[step][index] < following["report"]:
            found[step] = stamps[step][index]
    return found
