"""The attempts of one study: their runners, what was acknowledged of them, and which must stop."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence

from orchestrator.engine.outputs import Figures, Retry
from orchestrator.model.changeset import AttemptRow
from orchestrator.model.lifecycle import LIVE, NOT_STARTED, WAITING, AttemptEvent, AttemptState, after
from tasks.contract import Confirmation, Started, Stopped, Verdict


class Attempts:
    """All attempts of a study, by token, with the live one of each trial.

    Tokens are derived from the study's unique id, so that the same events make the same attempts when they are
    replayed, while a study that is deleted and made again never meets its old tokens.

    Attributes:
        began: When the first of them was started, in seconds since the epoch.
    """

    def __init__(self, uid: str, rows: Iterable[AttemptRow] = ()) -> None:
        self._uid = uid
        self._rows: dict[str, AttemptRow] = {}
        self._of_trial: dict[int, list[AttemptRow]] = {}
        # The live ones by state, each by its trial: an event must not cost more where more trials run.
        self._live: dict[str, dict[int, AttemptRow]] = {state: {} for state in LIVE}
        self._made: list[str] = []
        self.touched: set[str] = set()
        # Touched attempts that changed in more than the number of the last event.
        self._changed: set[str] = set()
        # Attempts that wait to be sent; and, by trial, those whose parameters are not known yet.
        self.held: dict[str, AttemptRow] = {}
        self._unsampled: dict[int, AttemptRow] = {}
        self.began: float | None = None
        self._figures = Figures()
        for row in rows:
            self._add(row)

    def __getitem__(self, token: str) -> AttemptRow:
        return self._rows[token]

    def __iter__(self) -> Iterator[AttemptRow]:
        return iter(self._rows.values())

    def __contains__(self, token: str) -> bool:
        return token in self._rows

    def live(self, trial: int) -> AttemptRow | None:
        """Returns the trial's live attempt."""
        made = self._of_trial.get(trial, ())
        return next((row for row in reversed(made) if row.state in LIVE), None)

    def of(self, trial: int) -> Sequence[AttemptRow]:
        """Returns the trial's attempts, oldest first."""
        return self._of_trial.get(trial, ())

    def seconds(self, trial: int, now: float) -> float:
        """Returns for how long the trial has had a slot, all its attempts together."""
        spans = [(row.started, now if row.ended is None else row.ended) for row in self.of(trial)]
        return sum(max(0.0, end - start) for start, end in spans if start is not None)

    def has_begun(self, trial: int) -> bool:
        """Whether a runner has ever begun with the trial."""
        return any(row.started is not None for row in self.of(trial))

    def continues(self, row: AttemptRow) -> bool:
        """Whether the attempt goes on with what an earlier one of its trial was given to do."""
        return any(each.cause != NOT_STARTED for each in self.of(row.trial) if each.number < row.number)

    def in_state(self, *states: AttemptState) -> list[AttemptRow]:
        """Returns the live attempts that stand in one of ``states``, oldest trial first."""
        rows = [row for state in states if state in LIVE for row in self._live[state].values()]
        return sorted(rows, key=lambda row: row.trial)

    def count(self, *states: AttemptState) -> int:
        """Returns the number of live attempts in ``states``."""
        return sum(len(self._live[state]) for state in states if state in LIVE)

    def hold_back(self, row: AttemptRow) -> None:
        """Keeps an attempt from being sent until ``let_go``."""
        del self.held[row.token]
        self._unsampled[row.trial] = row

    def let_go(self, trial: int) -> None:
        """Lets the attempt be sent of a trial that is sampled now."""
        row = self._unsampled.pop(trial, None)
        if row is not None and row.state == AttemptState.QUEUED:
            self.held[row.token] = row

    def create(self, trial: int, at: float, again: str = "") -> AttemptRow:
        """Makes the trial's next attempt; it waits to be sent. ``again`` is the cause where it is a repetition."""
        number = max((row.number for row in self.of(trial)), default=0) + 1
        digest = hashlib.blake2b(f"{self._uid}/{trial}/{number}".encode(), digest_size=16).digest()
        row = AttemptRow(str(uuid.UUID(bytes=digest)), trial, number, AttemptState.QUEUED, at)
        self._add(row)
        self._change(row)
        if again:
            self._figures.retries.append(Retry(row.token, trial, number, again))
        return row

    def move(self, row: AttemptRow, event: AttemptEvent, at: float) -> bool:
        """Applies the transition table; returns whether the event meant anything."""
        state = after(AttemptState(row.state), event, row)
        if state is None:
            return False
        if row.state in LIVE:
            self._live[row.state].pop(row.trial, None)
        row.state = state
        if state in LIVE:
            self._live[state][row.trial] = row
        if event is AttemptEvent.SEND:
            row.sent = at
        if (state not in LIVE or state == AttemptState.PAUSED) and row.ended is None:
            row.ended = at
        if state not in WAITING or event is AttemptEvent.SEND:
            self.held.pop(row.token, None)
        self._change(row)
        return True

    def bind(self, row: AttemptRow, runner: str, body: Started, at: float) -> bool:
        """Binds a runner to an attempt that has none; the first one wins."""
        if not self.move(row, AttemptEvent.START, at):
            return False
        row.runner, row.started = runner, at
        self._note_start(at)
        row.host, row.pid, row.slot, row.device, row.gap = (
            body.host,
            body.pid,
            body.slot,
            body.device,
            body.gap,
        )
        if body.gap is not None:
            self._figures.gaps.append(body.gap)
        return True

    def record_stop(self, row: AttemptRow, body: Stopped) -> None:
        """Records how long it took until the training code was left."""
        row.latency, row.signal_latency = body.latency, body.signal_latency
        self._change(row)
        if row.verdict == "pruned" and body.latency is not None:
            self._figures.latencies.append(body.latency)

    def set_verdict(self, row: AttemptRow, cause: str, step: int | None, at: float) -> bool:
        """Sets the verdict, unless there is one: the runner of the attempt has to stop. Returns whether it was set."""
        if not self.move(row, AttemptEvent.VERDICT, at):
            return False
        row.verdict, row.verdict_step = cause, step
        return True

    def confirmation(self, token: str) -> Confirmation:
        """Returns what the attempt's keeper may know."""
        row = self._rows[token]
        verdict = Verdict(cause=row.verdict, step=row.verdict_step) if row.verdict else None
        return Confirmation(runner=row.runner, seq=row.acknowledged, verdict=verdict)

    def take_touched(self) -> tuple[dict[str, AttemptRow], dict[str, AttemptRow]]:
        """Returns the attempts that changed since the last call, and those whose only change is ``acknowledged``."""
        touched, self.touched = sorted(self.touched), set()
        changed, self._changed = self._changed, set()
        return (
            {token: self._rows[token] for token in touched if token in changed},
            {token: self._rows[token] for token in touched if token not in changed},
        )

    def take_made(self) -> list[str]:
        """Returns the tokens of the attempts that were made since the last call."""
        made, self._made = self._made, []
        return made

    def take_figures(self) -> Figures:
        """Returns what was measured since the last call."""
        figures, self._figures = self._figures, Figures()
        return figures

    def _change(self, row: AttemptRow) -> None:
        self.touched.add(row.token)
        self._changed.add(row.token)

    def _note_start(self, at: float) -> None:
        self.began = at if self.began is None else min(self.began, at)

    def _add(self, row: AttemptRow) -> None:
        self._rows[row.token] = row
        self._made.append(row.token)
        self._of_trial.setdefault(row.trial, []).append(row)
        if row.state in LIVE:
            self._live[row.state][row.trial] = row
        if row.started is not None:
            self._note_start(row.started)
        if row.state == AttemptState.QUEUED:
            self.held[row.token] = row
