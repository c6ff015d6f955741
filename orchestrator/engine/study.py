"""One study as a fold: every event, command and loss changes it here, and nowhere else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from orchestrator.engine import notifications, user_commands
from orchestrator.engine.attempts import Attempts
from orchestrator.engine.events import decide, fold
from orchestrator.engine.outputs import Batch, Revoke, Sweep
from orchestrator.engine.progress import progress
from orchestrator.engine.reconcile import adopt
from orchestrator.engine.scheduling import advance
from orchestrator.engine.state import Core, Snapshot
from orchestrator.engine.trials import Trials
from orchestrator.engine.user_commands import Steer
from orchestrator.model.attribute_keys import SILENT
from orchestrator.model.lifecycle import LIVE, AttemptEvent, AttemptState
from orchestrator.model.progress_events import Progress
from orchestrator.model.silence import Silence
from orchestrator.model.study_states import ENDED, StudyState
from orchestrator.sampling.remote_pruner import Answer, Question
from orchestrator.sampling.staged_storage import StagedStorage
from orchestrator.spec import Spec
from tasks.contract import Event, Failed


class StudyEngine:
    """Folds what happens to one study. The same inputs in the same order give the same outputs.

    Nothing is handed out before ``take``; the caller commits its changes and then does what it asks for. When the
    commit fails for good, the engine is thrown away and made again from the database.

    Args:
        snapshot: The study as it is stored.
        at: Now, in seconds since the epoch, as for every method here.
    """

    def __init__(self, snapshot: Snapshot, at: float) -> None:
        self._core = Core(snapshot)
        self._swept = False
        self.storage.now = at
        if not snapshot.trials:
            for params in snapshot.spec.enqueue:
                self.trials.enqueue(params)
        if self.state not in ENDED:
            adopt(self._core, at)
        advance(self._core, at)

    # -- what it knows

    @property
    def spec(self) -> Spec:
        return self._core.spec

    @property
    def name(self) -> str:
        return self._core.name

    @property
    def uid(self) -> str:
        return self._core.uid

    @property
    def state(self) -> StudyState:
        return self._core.state

    @property
    def reason(self) -> str:
        return self._core.reason

    @property
    def attempts(self) -> Attempts:
        return self._core.attempts

    @property
    def trials(self) -> Trials:
        return self._core.trials

    @property
    def storage(self) -> StagedStorage:
        """The study as the sampler sees it."""
        return self._core.trials.storage

    @property
    def budget(self) -> int:
        """How many trials there are to be: those of the spec, and those that were enqueued beside them."""
        return self._core.budget

    @property
    def deadline(self) -> float | None:
        """When time alone ends it, in seconds since the epoch: somebody has to say then that it has come."""
        return self._core.deadline if self.state == "running" else None

    @property
    def waits(self) -> bool:
        """Whether a rule is asked in another process: until ``answer``, nothing else may be put in or taken out."""
        remote = self._core.trials.remote
        return remote is not None and remote.asked is not None

    def take_question(self) -> Question | None:
        """Returns the question for the other process, once."""
        remote = self._core.trials.remote
        return None if remote is None else remote.take_question()

    @property
    def slots(self) -> int:
        """How many slots it was last told of."""
        return self._core.slots

    @property
    def counts(self) -> Counter[str]:
        """Events that were not folded, by reason: stale, duplicate, gap, late, unexpected, unreadable."""
        return self._core.counts

    # -- inputs

    def apply(self, event: Event, at: float) -> None:
        """Folds one event of an attempt of this study; see ``events.fold``."""
        self.storage.now = at
        if fold(self._core, event, at) and not self.waits:
            advance(self._core, at)

    def answer(self, answer: Answer, at: float) -> None:
        """Takes in what the rules in another process say of the report that they were asked about."""
        self.storage.now = at
        number, decision = self.trials.take_answer(answer, at)
        row = self.attempts.live(number)
        if row is not None and decision is not None:
            decide(self._core, row, decision, at)
        advance(self._core, at)

    def lose(self, token: str, cause: str, at: float) -> None:
        """The attempt's runner has gone silent, or is known to be dead: the trial is attempted again."""
        self.storage.now = at
        row = self.attempts[token]
        if self.attempts.move(row, AttemptEvent.LOSE, at):
            row.cause = cause
            row.verdict = row.verdict or "lost"
            self._core.revokes.append(Revoke(token))
            self._core.retry_attempt(row, at, Failed(cause="lost", error="Lost", message=cause))
            advance(self._core, at)

    def silence(self, trial: int) -> Silence | None:
        """Returns since when a trial is silent, if it is shown as such."""
        return Silence.read(self.storage.get_trial(trial).system_attrs.get(SILENT))

    def note_silence(self, token: str, silence: Silence | None, at: float) -> None:
        """A trial has been silent for far longer than usual, or is not any more (``None``)."""
        self.storage.now = at
        row = self.attempts[token]
        if self._core.runs(row):
            self.storage.set_trial_system_attr(row.trial, SILENT, None if silence is None else silence._asdict())

    def resend(self, token: str, at: float) -> None:
        """The attempt's task is nowhere to be found, and it never started: its task is sent again."""
        row = self.attempts[token]
        staged = any(send.job.token == token for send in self._core.sends)
        if row.state == AttemptState.SENT and self.state in ("running", "ending") and not staged:
            self._core.send(row, at)

    def count_slots(self, slots: int, at: float) -> None:
        """Says how many slots there are for this study's tasks; where trials are promoted, that many are in use."""
        self.storage.now = at
        self._core.slots = slots
        advance(self._core, at)

    def tick(self, at: float) -> None:
        """Says what time it is, where nothing else is said."""
        self.storage.now = at
        advance(self._core, at)

    def command(self, operation: Steer, at: float, reason: str = "") -> None:
        """Steers the study; see ``orders.steer``."""
        self.storage.now = at
        user_commands.steer(self._core, operation, at, reason)
        advance(self._core, at)

    def extend(self, spec: Spec, at: float) -> None:
        """Goes on with what may have changed; see ``orders.extend``."""
        self.storage.now = at
        user_commands.extend(self._core, spec, at)
        advance(self._core, at)

    def enqueue(self, params: Mapping[str, Any], at: float) -> None:
        """Adds a trial with these parameters; see ``orders.enqueue``."""
        self.storage.now = at
        user_commands.enqueue(self._core, params, at)
        advance(self._core, at)

    def retry(self, number: int, at: float) -> None:
        """Adds a trial with the parameters of trial ``number``, which has ended; see ``orders.retry``."""
        self.storage.now = at
        user_commands.retry(self._core, number, at)
        advance(self._core, at)

    # -- outputs

    def take(self) -> Batch:
        """Returns what has come of the inputs since the last call."""
        core = self._core
        touched = self.attempts.take_touched()
        for number in self.trials.take_ended():
            core.checkpoints.forget(number)
            core.artifacts.unsettle()
        core.artifacts.settle(self.spec.keep_models, maximize=self.spec.direction == "maximize")
        changes = self.storage.take_changes()
        changes.attempts = touched
        changes.notes = notifications.notes(core, changes)
        batch = Batch(
            changes,
            core.sends,
            core.revokes,
            core.answers,
            core.checkpoints.take_discarded(),
            core.artifacts.take_discarded(),
            self._sweep_once(),
            {token: self.attempts.confirmation(token) for token in touched},
            self.trials.take_notices(),
            core.take_figures(),
        )
        core.sends, core.revokes, core.answers = [], [], []
        return batch

    def sweep(self) -> Sweep:
        """Returns what may be deleted of the artifacts without having been recorded."""
        ended = frozenset(row.token for row in self.attempts if row.state not in LIVE)
        return Sweep(ended, self._core.artifacts.ids())

    def progress(self) -> Progress:
        """Returns where the study stands."""
        return progress(self)

    def _sweep_once(self) -> Sweep | None:
        """With the first batch: whoever held the study before may have died before it had deleted everything."""
        swept, self._swept = self._swept, True
        return None if swept else self.sweep()
