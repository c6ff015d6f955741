"""What the database says during and after a soak, read on a connection of its own that survives what is done to it."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import sqlalchemy
from sqlalchemy import exc, text

from tests.chaos.objective import value_of

LOOK_SECONDS = 0.05
"""Pause between two looks at the database; an epoch of a soak takes as long."""


class Row(NamedTuple):
    """A recorded epoch."""

    trial: int
    step: int
    value: float


class Live(NamedTuple):
    """A running attempt, and the process that trains it."""

    trial: int
    number: int
    pid: int
    slot: str


@dataclass
class Records:
    """Follows a study in its database, from a thread of its own.

    Attributes:
        epochs: Every recorded epoch that was ever seen, by row id.
        last: When the newest of them was seen, by ``time.monotonic``.
        live: Running attempts by trial, as last seen; their ``started`` is committed.
        ended: Trials that were last seen in a terminal state.
        state: Of the study, as last seen.
    """

    url: str
    study: str
    epochs: dict[int, Row] = field(default_factory=dict)
    last: float = 0.0
    live: dict[int, Live] = field(default_factory=dict)
    ended: dict[int, str] = field(default_factory=dict)
    state: str = ""

    def __post_init__(self) -> None:
        self._engine = sqlalchemy.create_engine(self.url, isolation_level="AUTOCOMMIT")
        self._over = threading.Event()
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._follow, name="records", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Waits for the next look at the database."""
        with self._news:
            self._news.wait(seconds)

    def is_over(self, attempt: Live) -> bool:
        """Whether an attempt is no longer that of its trial."""
        found = self.live.get(attempt.trial)
        return found is None or found.number > attempt.number

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._engine.dispose()

    def final(self) -> list[Row]:
        """Returns every recorded epoch, read anew."""
        with self._engine.connect() as connection:
            return [Row(*row) for _, *row in connection.execute(text(_EPOCHS), {"study": self.study, "last": 0})]

    def params(self) -> dict[int, float]:
        """Returns the parameter of each trial."""
        with self._engine.connect() as connection:
            return {number: x for number, x in connection.execute(text(_PARAMS), {"study": self.study})}  # noqa: C416

    def attempts(self) -> list[tuple[int, str, str]]:
        """Returns (trial, state, cause) of each attempt."""
        with self._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(_ATTEMPTS), {"study": self.study})]

    def unsettled(self) -> list[str]:
        """Returns the states of the attempts that are not over; a study may end before a stop is confirmed."""
        return [state for _, state, _ in self.attempts() if state not in ("done", "lost")]

    def failures(self) -> list[tuple[int, str]]:
        """Returns how each failed trial failed."""
        with self._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(_FAILURES), {"study": self.study})]

    def redone(self) -> int:
        """Returns how many epochs were trained again."""
        with self._engine.connect() as connection:
            return connection.scalar(text(_REDONE), {"study": self.study}) or 0

    def _follow(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            try:
                self._look()
            except exc.DBAPIError:
                # It is being restarted; what was seen stays seen.
                continue
            with self._news:
                self._news.notify_all()

    def _look(self) -> None:
        with self._engine.connect() as connection:
            name = {"study": self.study}
            last = max(self.epochs, default=0)
            new = {row[0]: Row(*row[1:]) for row in connection.execute(text(_EPOCHS), name | {"last": last})}
            if new:
                self.epochs |= new
                self.last = time.monotonic()
            self.live = {row[0]: Live(*row) for row in connection.execute(text(_RUNNING), name)}
            self.ended = {number: state for number, state in connection.execute(text(_ENDED), name)}  # noqa: C416
            self.state = connection.scalar(text(_STATE), name) or ""


@dataclass(frozen=True)
class Account:
    """What a soak came to. ``lost`` and ``duplicated`` have to be empty, and ``wrong`` as well.

    Attributes:
        asked: Trials that the spec asks for.
        ended: Number of trials by terminal state.
        reported: Epochs that the objective has reported, each counted once.
        recorded: Epochs in the database.
        redone: Epochs that were trained a second time.
        lost: Epochs that should be in the database and are not, or were there once and are not any more.
        duplicated: Epochs that are there twice.
        wrong: Epochs whose value is not the one that was reported, trials that have failed or have not ended.
        attempts: Number of attempts.
        causes: How they ended, by cause.
    """

    asked: int
    ended: Counter[str]
    reported: int
    recorded: int
    redone: int
    lost: list[tuple[int, int]]
    duplicated: list[tuple[int, int]]
    wrong: list[str]
    attempts: int
    causes: Counter[str]

    @property
    def balanced(self) -> bool:
        return not (self.lost or self.duplicated or self.wrong) and sum(self.ended.values()) == self.asked


def settle(records: Records, asked: int, epochs: int, reported: set[tuple[int, int]]) -> Account:
    """Compares what was reported with what is recorded.

    Args:
        records: The database.
        asked: The budget.
        epochs: Length of a full trial.
        reported: (trial, step) of every report that the objective has made.
    """
    rows = records.final()
    params = records.params()
    there = Counter((row.trial, row.step) for row in rows)
    expected = set()
    for trial, state in records.ended.items():
        steps = [step for number, step in there if number == trial]
        last = epochs if state == "COMPLETE" else max(steps, default=0)
        expected |= {(trial, step) for step in range(1, last + 1)}
    seen = {(row.trial, row.step) for row in records.epochs.values()}
    wrong = [
        f"trial {row.trial} has {row.value!r} at step {row.step}"
        for row in rows
        if row.trial not in params or not math.isclose(row.value, value_of(params[row.trial], row.step))
    ]
    wrong += [f"trial {trial} failed: {how}" for trial, how in records.failures()]
    wrong += [f"trial {trial} has not ended" for trial in range(asked) if trial not in records.ended]
    wrong += [f"trial {trial} was never asked for" for trial in records.ended if trial >= asked]
    wrong += [f"trial {trial} at step {step} was never reported" for trial, step in set(there) - reported]
    attempts = records.attempts()
    if unsettled := records.unsettled():
        wrong.append(f"{len(unsettled)} attempts are still {', '.join(sorted(set(unsettled)))}")
    return Account(
        asked=asked,
        ended=Counter(records.ended.values()),
        reported=len(reported),
        recorded=len(rows),
        redone=records.redone(),
        lost=sorted((expected | seen) - set(there)),
        duplicated=sorted(pair for pair, count in there.items() if count > 1),
        wrong=wrong,
        attempts=len(attempts),
        causes=Counter(cause for _, _, cause in attempts),
    )


_OF_STUDY = "WHERE study_id = (SELECT study_id FROM studies WHERE study_name = :study)"
_EPOCHS = """
    SELECT v.trial_intermediate_value_id, t.number, v.step, v.intermediate_value
    FROM trial_intermediate_values v JOIN trials t ON t.trial_id = v.trial_id
    JOIN studies s ON s.study_id = t.study_id
    WHERE s.study_name = :study AND v.trial_intermediate_value_id > :last
"""
_PARAMS = """
    SELECT t.number, p.param_value FROM trial_params p JOIN trials t ON t.trial_id = p.trial_id
    JOIN studies s ON s.study_id = t.study_id WHERE s.study_name = :study AND p.param_name = 'x'
"""
_FAILURES = """
    SELECT t.number, coalesce(a.value_json, '') FROM trials t
    LEFT JOIN trial_user_attributes a ON a.trial_id = t.trial_id AND a.key = 'failure'
    JOIN studies s ON s.study_id = t.study_id WHERE s.study_name = :study AND t.state = 'FAIL'
"""
_RUNNING = f"SELECT trial, number, pid, slot FROM orchestrator_attempts {_OF_STUDY} AND state = 'running'"
_ATTEMPTS = f"SELECT trial, state, cause FROM orchestrator_attempts {_OF_STUDY}"
_REDONE = f"SELECT count(*) FROM orchestrator_redone {_OF_STUDY}"
_STATE = f"SELECT state FROM orchestrator_studies {_OF_STUDY}"
_ENDED = f"SELECT number, state FROM trials {_OF_STUDY} AND state IN ('COMPLETE', 'PRUNED', 'FAIL')"
