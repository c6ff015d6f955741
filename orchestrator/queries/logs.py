"""Log files of trials: finding and following what an objective printed."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import IO, Final

from orchestrator.common.errors import BadInput
from orchestrator.common.faults import Fault
from orchestrator.common.settings import PREFIX
from orchestrator.common.urls import check_entry
from orchestrator.model.changeset import AttemptRow
from orchestrator.model.lifecycle import TRAINING
from orchestrator.model.records import TrialFacts
from tasks.trial_files import open_regular, trial_log

_ENDED: Final = frozenset({"COMPLETE", "PRUNED", "FAIL"})
LOOK_SECONDS: Final = 1.0
"""Poll interval of the trial's state in the database."""

PAUSE_SECONDS: Final = 0.2
"""Poll interval of the file."""

_CHUNK: Final = 1 << 16


def text_lines(blocks: Iterable[bytes]) -> Iterator[str]:
    """Yields the lines of a log without their ends; what is no UTF-8 is escaped in them."""
    begun = b""
    for block in blocks:
        *lines, begun = (begun + block).split(b"\n")
        yield from map(_line, lines)
    # The last line may have no end.
    if begun:
        yield _line(begun)


def _line(line: bytes) -> str:
    return line.decode(errors="backslashreplace").removesuffix("\r")


class TrialLog:
    """The log of a trial, as an iterator over its lines without their ends.

    Attributes:
        trial: Number of the trial.
        notes: Where else attempts of it ran, a line each: what they printed is there.

    Args:
        data: The data folder of the workers of this host.
        look: Reads the trial from the database.
        lines: Begin with so many lines from the end; with all where it is None.
        follow: Go on until the trial has ended.

    Raises:
        BadInput: there is no such trial, or its log is not in this data folder.
    """

    def __init__(
        self, data: Path, look: Callable[[], TrialFacts], *, lines: int | None = None, follow: bool = False
    ) -> None:
        trial = look()
        self._path = await_file(data, look) if follow else find(data, trial)
        self._look, self._last, self._follow = look, lines, follow
        self._ended = follow or has_ended(trial)
        self.trial = trial.number
        self.notes = elsewhere(trial)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return next(self._lines)

    @cached_property
    def _lines(self) -> Iterator[str]:
        return text_lines(self.blocks())

    def blocks(self) -> Iterator[bytes]:
        """Yields the log as it was written, block by block."""
        with open(open_regular(self._path.resolve()), "rb") as file:
            if self._last is not None:
                last_lines(file, self._last)
            yield from following(file, Ended(self._look)) if self._follow else rest(file)

    def silence(self) -> str:
        """Returns that nothing was printed, in words; empty where something was."""
        if self._path.stat().st_size:
            return ""
        return f"trial {self.trial} has printed nothing{'' if self._ended else ' yet'}"


def log_file(data: Path, study: str, number: int) -> Path:
    """Returns where a worker with the data folder ``data`` keeps the output of a trial.

    A log that lies where earlier versions kept it is still found there.

    Raises:
        BadInput: this user may not look.
    """
    try:
        check_entry(data)
    except Fault as fault:
        raise fault.blame(f"{PREFIX}DATA_DIR") from None
    folders = log_folders(data, study)
    paths = [folder / trial_log(data, study, number).name for folder in folders]
    return next((path for path in paths if path.is_file()), paths[0])


def log_folders(data: Path, study: str) -> list[Path]:
    """Returns the folders below ``data`` with logs of a study: today's, and that of earlier versions if it is there."""
    folder = trial_log(data, study, 0).parent
    earlier = data / "logs" / study
    # No error where the user who deletes a study may not look.
    return [folder, earlier] if os.path.isdir(earlier) and earlier != folder.parent else [folder]


def find(data: Path, trial: TrialFacts) -> Path:
    """Returns the log file of ``trial``.

    Raises:
        BadInput: it is not in this data folder; says which hosts have it, and where.
    """
    path = log_file(data, trial.study.name, trial.number)
    if path.is_file():
        return path
    where = f"trial {trial.number}"
    ran = [each for each in trial.attempts if each.host]
    if not ran:
        raise BadInput(where, "no worker has begun it, so there is no log yet", f"it would be {path}")
    there = "; ".join(_where(each) for each in ran)
    below = path.relative_to(data)
    raise BadInput(
        where, f"its log {path} is not on this host", f"it ran on {there}: look for {below} in the data folder there"
    )


def await_file(data: Path, look: Callable[[], TrialFacts]) -> Path:
    """Returns the log file of a trial, waiting for it while the trial may still begin on this host.

    Raises:
        BadInput: it will not be in this data folder.
    """
    here = {"", socket.gethostname()}
    while True:
        trial = look()
        path = log_file(data, trial.study.name, trial.number)
        if path.is_file() or has_ended(trial) or not here.issuperset(each.host for each in trial.attempts):
            return find(data, trial)
        time.sleep(LOOK_SECONDS)


class Ended:
    """Whether a trial has ended; the database is asked once a second."""

    def __init__(self, look: Callable[[], TrialFacts]) -> None:
        self._look = look
        self._due = 0.0
        self._found = False

    def __call__(self) -> bool:
        now = time.monotonic()
        if not self._found and now >= self._due:
            self._found = has_ended(self._look())
            self._due = now + LOOK_SECONDS
        return self._found


def has_ended(trial: TrialFacts) -> bool:
    """Whether nothing more will be printed: a trial that was pruned may still be on its way out of its epoch."""
    return trial.state in _ENDED and all(each.state not in TRAINING for each in trial.attempts)


def elsewhere(trial: TrialFacts) -> list[str]:
    """Returns where attempts ran that were not on this host, a line for each: what they printed is there."""
    here = socket.gethostname()
    return [
        f"trial {trial.number} also ran on {_where(each)}" for each in trial.attempts if each.host not in ("", here)
    ]


def _where(attempt: AttemptRow) -> str:
    return f"{attempt.host}, slot {attempt.slot}" + (f" (attempt {attempt.number})" if attempt.number > 1 else "")


def last_lines(file: IO[bytes], count: int) -> None:
    """Moves to the beginning of the last ``count`` lines of ``file``; reads no more of it than these."""
    at = end = file.seek(0, os.SEEK_END)
    while at > 0 and count > 0:
        start = max(0, at - _CHUNK)
        file.seek(start)
        block = file.read(at - start)
        if at == end:
            # A line break at the very end begins no line.
            block = block.removesuffix(b"\n")
        there = block.count(b"\n")
        if there >= count:
            place = len(block)
            for _ in range(count):
                place = block.rfind(b"\n", 0, place)
            file.seek(start + place + 1)
            return
        count -= there
        at = start
    file.seek(at)


def following(file: IO[bytes], ended: Callable[[], bool]) -> Iterator[bytes]:
    """Yields what ``file`` holds and what is added to it, until the trial has ended and all of it was read."""
    while True:
        # Asked before the reading: what was printed before the end is read after it.
        last = ended()
        yield from rest(file)
        if last:
            return
        time.sleep(PAUSE_SECONDS)


def rest(file: IO[bytes]) -> Iterator[bytes]:
    """Yields what is left to be read of ``file``."""
    while block := file.read(_CHUNK):
        yield block
