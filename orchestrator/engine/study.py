"""The engine of one study: inputs in, rows to write and things to do out."""

from __future__ import annotations

from typing import assert_never

from orchestrator.engine import inputs, notifications, user_commands
from orchestrator.engine.events import decide, fold
from orchestrator.engine.inputs import Input
from orchestrator.engine.outputs import Batch, Revoke, Sweep
from orchestrator.engine.scheduling import advance
from orchestrator.engine.state import Snapshot, Study
from orchestrator.model.attribute_keys import SILENT
from orchestrator.model.lifecycle import LIVE, WAITING, AttemptEvent, AttemptState
from orchestrator.model.progress_events import Progress, SlotLine
from orchestrator.model.study_states import ENDED
from orchestrator.sampling.remote_pruner import Answer, Question
from orchestrator.spec import Spec
from tasks.contract import Failed


class StudyEngine(Study):
    """Folds what happens to one study. The same inputs in the same order give the same outputs.

    Nothing is handed out before ``take``; the caller commits its changes and then does what it asks for. When the
    commit fails for good, the engine is thrown away and made again from the database.

    Args:
        snapshot: The study as it is stored.
        at: Now, in seconds since the epoch.
    """

    def __init__(self, snapshot: Snapshot, at: float) -> None:
        super().__init__(snapshot)
        self._swept = False
        self.storage.now = at
        if not snapshot.trials:
            for params in snapshot.spec.enqueue:
                self.trials.enqueue(params)
        if self.state not in ENDED:
            user_commands.adopt(self, at)
        advance(self, at)

    # -- inputs

    def apply(self, input: Input, at: float) -> None:
        """Takes an input in, and does what follows from it.

        While the study waits for its own pruner, an answer is the only input that may be put in.

        Args:
            input: What has happened.
            at: Now, in seconds since the epoch.

        Raises:
            ValueError: an answer that the study does not wait for.
        """
        self.storage.now = at
        if self._take_in(input, at) and not self.waits:
            advance(self, at)

    def _take_in(self, input: Input, at: float) -> bool:
        """Returns whether anything may follow from the input."""
        match input:
            case inputs.EventReceived():
                return fold(self, input.event, at)
            case inputs.PrunerAnswered():
                self._take_answer(input.answer, at)
            case inputs.AttemptLost():
                return self._lose(input.token, input.cause, at)
            case inputs.SilenceChanged():
                row, silence = self.attempts[input.token], input.silence
                if self.runs(row):
                    self.storage.set_trial_system_attr(
                        row.trial, SILENT, None if silence is None else silence._asdict()
                    )
                return False
            case inputs.TaskMissing():
                self._resend(input.token, at)
                return False
            case inputs.SlotsCounted():
                self.slots = input.slots
            case inputs.TimePassed():
                pass
            case inputs.SpecChanged():
                user_commands.change_spec(self, Spec.from_json(input.spec), at)
            case inputs.TrialEnqueued():
                user_commands.enqueue(self, input.params, at)
            case inputs.TrialRetried():
                user_commands.retry(self, input.trial, at)
            case inputs.StudyPaused():
                user_commands.steer(self, "paused", "", at)
            case inputs.StudyResumed():
                user_commands.steer(self, "running", "", at)
            case inputs.StudyStopped():
                user_commands.steer(self, "stopped", input.reason, at)
            case _:
                assert_never(input)
        return True

    def _take_answer(self, answer: Answer, at: float) -> None:
        number, decision = self.trials.take_answer(answer, at)
        row = self.attempts.live(number)
        if row is not None and decision is not None:
            decide(self, row, decision, at)

    def _lose(self, token: str, cause: str, at: float) -> bool:
        row = self.attempts[token]
        if not self.attempts.move(row, AttemptEvent.LOSE, at):
            return False
        row.cause = cause
        row.verdict = row.verdict or "lost"
        self.revokes.append(Revoke(token))
        self.retry_attempt(row, at, Failed(cause="lost", error="Lost", message=cause))
        return True

    def _resend(self, token: str, at: float) -> None:
        row = self.attempts[token]
        staged = any(send.job.token == token for send in self.sends)
        if row.state == AttemptState.SENT and self.state in ("running", "ending") and not staged:
            self.send(row, at)

    # -- outputs

    def take_question(self) -> Question | None:
        """Returns the question for the process of the user's own pruner, once."""
        return None if self.trials.remote is None else self.trials.remote.take_question()

    def take(self) -> Batch:
        """Returns what has come of the inputs since the last call."""
        touched = self.attempts.take_touched()
        for number in self.trials.take_ended():
            self.checkpoints.forget(number)
            self.artifacts.unsettle()
        self.artifacts.settle(self.spec.keep_models, maximize=self.spec.direction == "maximize")
        changes = self.storage.take_changes()
        changes.set_attempts(touched)
        changes.add_notes(notifications.notes(self, changes))
        # A control plane that held the study before may have died before it had deleted everything.
        sweep, self._swept = None if self._swept else self.sweep(), True
        batch = Batch(
            changes,
            self.sends,
            self.revokes,
            self.answers,
            self.checkpoints.take_discarded(),
            self.artifacts.take_discarded(),
            sweep,
            {token: self.attempts.confirmation(token) for token in touched},
            self.trials.take_notices(),
            self.take_figures(),
        )
        self.sends, self.revokes, self.answers = [], [], []
        return batch

    def sweep(self) -> Sweep:
        """Returns what may be deleted of the artifacts without having been recorded."""
        ended = frozenset(row.token for row in self.attempts if row.state not in LIVE)
        return Sweep(ended, self.artifacts.ids())

    def progress(self) -> Progress:
        """Returns where the study stands; costs as much as there are live attempts."""
        running = self.attempts.in_state(AttemptState.RUNNING)
        best, front = self.trials.best()
        return Progress(
            study=self.name,
            state=self.state,
            reason=self.reason,
            budget=self.budget,
            complete=self.trials.ended["COMPLETE"],
            pruned=self.trials.ended["PRUNED"],
            failed=self.trials.ended["FAIL"],
            running=len(running),
            waiting=self.attempts.count(*WAITING),
            paused=len(self.trials.paused),
            epochs=self.trials.epochs,
            max_steps=self.spec.max_steps,
            epochs_saved=self.trials.epochs_saved,
            best=best,
            front=front,
            slots=tuple(
                SlotLine(
                    slot=row.slot,
                    device=row.device,
                    trial=row.trial,
                    attempt=row.number,
                    epochs=self.trials.lengths.of(row.trial),
                    step=next(reversed(values), None),
                    value=values[next(reversed(values))] if values else None,
                    silent=None if (silence := self.silence(row.trial)) is None else self.storage.now - silence.since,
                    pace=None if silence is None else silence.pace,
                )
                for row in running
                if (values := self.storage.get_trial(row.trial).intermediate_values) is not None
            ),
        )
