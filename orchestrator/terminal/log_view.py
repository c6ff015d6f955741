"""The log of a search without a terminal: a line for each trial that ended and each change of the study."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TextIO

from orchestrator.common.formatting import count, duration, is_apart, number, numbers, one_line, silence
from orchestrator.model.progress_events import Leading, Notice, OtherSource, Progress, TakenUp, TrialEnded
from orchestrator.model.state_words import study_word

TRACEBACK_LINES = 30
ALIKE = 3
"""Failures with the same detail that show their traceback."""
DETAIL = 500


class LineView:
    """Writes plain text to ``stream``, flushed line by line.

    A trial's line waits for the progress that follows it in the same batch, so that what it says of the study
    (how many have ended, the best) includes the trial itself.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._ended: list[TrialEnded] = []
        self._progress: Progress | None = None
        self._alike: Counter[str] = Counter()
        self._warned: OtherSource | TakenUp | None = None

    def show(self, notice: Notice, now: float) -> None:
        """Takes a notice; see ``View.show``."""
        del now
        if isinstance(notice, TrialEnded):
            self._ended.append(notice)
            return
        if isinstance(notice, OtherSource | TakenUp):
            # Both the reader of the study and the control plane that goes on with it say so; one line is enough.
            if notice != self._warned:
                self._write(f"warning: {notice.text()}")
            self._warned = notice
            return
        before, self._progress = self._progress, notice
        if before is None:
            self._write(state_line(notice))
        self._flush(notice.ended - len(self._ended))
        known = () if before is None else {line.trial for line in before.slots if line.silent is not None}
        for line in notice.slots:
            if line.silent is not None and line.pace is not None and line.trial not in known:
                self._write(f"trial {line.trial}: {silence(line.silent, line.pace)}")
        if before is not None and (before.state, before.reason) != (notice.state, notice.reason):
            self._write(state_line(notice))

    def say(self, text: str) -> None:
        """Writes one line."""
        self._write(one_line(text))

    def close(self) -> None:
        """Writes the lines of trials whose progress has not come."""
        self._flush(self._progress.ended if self._progress else 0)

    def _flush(self, ended: int) -> None:
        waiting, self._ended = self._ended, []
        for position, trial in enumerate(waiting, start=1):
            self._write(f"{trial_line(trial)} [{_totals(self._progress, ended + position)}]")
            if trial.state == "FAIL":
                self._write_traceback(trial)

    def _write_traceback(self, trial: TrialEnded) -> None:
        if not trial.traceback.strip():
            return
        detail = trial.detail[:DETAIL]
        self._alike[detail] += 1
        if self._alike[detail] <= ALIKE:
            for line in traceback_lines(trial.traceback):
                self._write(f"    {line}")
        elif self._alike[detail] == ALIKE + 1:
            self._write(f"    (failed like {ALIKE} before: no more tracebacks of this failure)")

    def _write(self, line: str) -> None:
        # A program may have put an object of its own in the place of a stream, which can do little more than write.
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        line = line.encode(encoding, "backslashreplace").decode(encoding)
        # The reader of the log may be gone, or the program may have closed it; the search goes on.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(line + "\n")
            getattr(self._stream, "flush", bool)()


def trial_line(trial: TrialEnded) -> str:
    """Returns the line of a trial that has ended, without line end."""
    value = f" {numbers(trial.values)}" if trial.values else ""
    detail = one_line(trial.detail)
    if len(detail) > DETAIL:
        detail = detail[: DETAIL - 1] + "…"
    why = f" ({detail})" if detail else ""
    took = duration(trial.seconds)
    if trial.on_slot is not None and is_apart(trial.on_slot, trial.seconds):
        took = f"{duration(trial.on_slot)} on a slot, {took} passed"
    length = f"after {count(trial.epochs, 'epoch')} in {took}"
    return f"trial {trial.number} {trial.state:<8}{value} {length}{why}"


def state_line(progress: Progress) -> str:
    """Returns the line about the study as a whole."""
    reason = f": {one_line(progress.reason)}" if progress.reason else ""
    return (
        f"study {one_line(progress.study)} {study_word(progress.state)}{reason} [{_totals(progress, progress.ended)}]"
    )


def leads(leading: Leading) -> str:
    """Returns who leads and has not ended, so that it is not yet the best."""
    return f"leading {number(leading.value)} by trial {leading.number} at epoch {leading.step}"


def traceback_lines(text: str) -> list[str]:
    """Returns the last lines of a traceback, after a line that says how many are left out."""
    # Not splitlines(): a form feed or a line separator within a message does not begin a line.
    lines = [
        "".join(c if c.isprintable() else "�" for c in line.expandtabs(4))
        for line in text.replace("\r\n", "\n").rstrip().split("\n")
    ]
    left_out = len(lines) - TRACEBACK_LINES
    return [f"… {count(left_out, 'line')} left out", *lines[left_out:]] if left_out > 0 else lines


def _totals(progress: Progress | None, ended: int) -> str:
    if progress is None:
        return f"{ended} ended"
    best, front = progress.best, progress.front
    if front is not None:
        known = f"Pareto front of {count(front, 'trial')}"
    else:
        known = f"best {number(best.value)} by trial {best.number}" if best else "no best yet"
    leading = "" if progress.leader is None else f", {leads(progress.leader)}"
    if progress.promotes:
        return f"{progress.begun}/{progress.budget} begun, {ended} ended, {known}{leading}"
    return f"{ended}/{progress.budget}, {known}{leading}"
