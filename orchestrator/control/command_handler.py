"""Commands of the command line and the Python interface, applied to the studies."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.common.clock import Clock
from orchestrator.common.errors import BadInput
from orchestrator.control import unattended
from orchestrator.control.engine_registry import EngineRegistry
from orchestrator.control.ports import Ports
from orchestrator.control.recovery import Recovery
from orchestrator.control.rounds import Rounds
from orchestrator.control.scheduled_runs import ScheduledRuns
from orchestrator.control.study_boundary import Unsettled, is_of_the_study
from orchestrator.control.study_deletion import StudyDeletion
from orchestrator.engine.inputs import (
    Input,
    SpecChanged,
    StudyInterrupted,
    StudyPaused,
    StudyResumed,
    StudyStopped,
    TrialEnqueued,
    TrialRetried,
)
from orchestrator.engine.study import StudyEngine
from orchestrator.model.commands import DELETE, HOST, Command
from orchestrator.model.planned_run import DEFINE, OPERATION
from orchestrator.model.study_states import HELD, check_at_rest
from orchestrator.model.suspension import describe, refusal
from orchestrator.spec import Spec
from orchestrator.spec.compare import going_on
from orchestrator.spec.configuration import check_configuration
from orchestrator.spec.sampler_factory import check_sampler

_TAKE_UP = ("submit", "resume", "stop")
"""Commands that take up a study that is suspended; it is suspended again where the cause is still there."""

_MADE_ONCE = ("sampler", "pruner", "shadow", "audit", "max_steps", "space")
"""Keys of a spec from which an engine's rules and sampler are made."""

_STEERED: Mapping[str, Input] = {
    "pause": StudyPaused(),
    "interrupt": StudyInterrupted(),
    "resume": StudyResumed(),
    "stop": StudyStopped(),
}

log = logging.getLogger(__name__)


def check_retry(study: str, number: Any, state: str | None) -> None:
    """Checks that a trial can be made again.

    Args:
        study: Name of the study.
        number: The trial's.
        state: By Optuna's name; None where there is no such trial.

    Raises:
        BadInput: there is no such trial, or it has not ended.
    """
    where = f"trial {number} of study '{study}'"
    if state is None:
        raise BadInput(where, "there is no such trial")
    if state in ("RUNNING", "WAITING"):
        raise BadInput(where, "has not ended yet", "only a trial that has ended can be retried")


class _Later(Exception):
    """The command has to wait: a class of the user's own is being made, or files are being deleted."""


@dataclass(eq=False)
class CommandHandler:
    """Applies commands of the table, oldest first.

    Attributes:
        only: The one study that it looks after; all where it is empty.
        run: Process id of the `run` that it belongs to; 0 where there is none.
    """

    ports: Ports
    studies: EngineRegistry
    rounds: Rounds
    recovery: Recovery
    scheduled: ScheduledRuns | None
    deletion: StudyDeletion | None
    clock: Clock
    only: str
    run: int = 0
    # Studies whose commands were put off.
    _deferred: set[str] = field(default_factory=set, init=False)
    # Studies beside ``only`` that other runs in the folder have handed over.
    _guests: set[str] = field(default_factory=set, init=False)
    # Studies that are being deleted by a command.
    _deleting: set[str] = field(default_factory=set, init=False)

    @property
    def waits_for_class(self) -> bool:
        """Whether a command was put off until it is known whether a class of the user's own can be had."""
        return bool(self._deferred) or (self.scheduled is not None and self.scheduled.waits_for_class)

    @property
    def has_news(self) -> bool:
        """Whether there is something to do that no ring announces."""
        gone = self.deletion is not None and self.deletion.has_news
        return gone or (self.scheduled is not None and self.scheduled.has_news)

    def apply(self) -> bool:
        """Applies what waits; returns whether anything was answered.

        An answer goes into the round at once: a later command may have what the one before has made committed, and
        without its answer that one would be carried out again.
        """
        answered = False

        def answer_with(command: Command, answer: Mapping[str, Any]) -> None:
            nonlocal answered
            answered = True
            self.rounds.answers[command] = json.dumps(answer)

        slots = []
        self._deferred.clear()
        commands = self.ports.store.pending_commands()
        self._end_withdrawn(commands)
        for command in commands:
            if not self._is_for_this(command):
                continue
            if command.unreadable:
                problem = BadInput(f"command '{command.operation}' of study '{command.study}'", command.unreadable)
                log.warning("%s", problem, extra={"action": "command_unreadable"})
                answer_with(command, {"error": str(problem)})
                continue
            if command.operation == OPERATION:
                slots.append(command)
                continue
            if command.operation == DEFINE and (self.scheduled is None or self.studies.awaited):
                continue
            try:
                self._keep_order(command.study)
                answer = self._apply(command)
            except _Later:
                self._deferred.add(command.study)
                continue
            except BadInput as error:
                answer = {"error": str(error)}
            except Unsettled:
                continue
            except Exception as error:
                if not is_of_the_study(error):
                    raise
                answer = {"error": str(self._fail(command, error))}
            answer_with(command, answer)
        # A schedule may be about any study.
        if self.scheduled is not None and not self.studies.awaited:
            with contextlib.suppress(Unsettled):
                for command, answer in self.scheduled.apply(slots).items():
                    answer_with(command, answer)
                self.scheduled.tend()
        return answered

    def _is_for_this(self, command: Command) -> bool:
        # Only the process that holds the lease can delete, pause or stop a study, be it of another `run` or not.
        anyones = command.operation in (DELETE, HOST, *unattended.OPERATIONS)
        return not self.only or anyones or command.study in (self.only, *self._guests)

    def _end_withdrawn(self, commands: Sequence[Command]) -> None:
        """Lets go of the deletions whose commands were withdrawn."""
        if self.deletion is not None:
            for name in self._deleting - {each.study for each in commands if each.operation == DELETE}:
                self.deletion.end(name)
                self._deleting.discard(name)

    def _keep_order(self, study: str) -> None:
        """Puts a command off while its study is still to be read, or an earlier command of it is put off."""
        if study in self.studies.awaited:
            self.recovery.wanted.add(study)
            raise _Later
        if study in self._deferred:
            raise _Later

    def _fail(self, command: Command, error: Exception) -> BadInput:
        """Suspends the study of a command that could not be applied; returns what is answered."""
        if command.study in self.studies or command.study in self.ports.store.names().values():
            self.studies.suspend(command.study, error)
            return refusal(command.study, describe(error))
        problem = f"cannot be applied: {describe(error)}"
        log.error("command %s %s", command.id, problem, extra={"action": "command_failed"})
        return BadInput(f"command '{command.operation}'", problem)

    def _apply(self, command: Command) -> dict[str, Any]:
        name = command.study
        if command.operation == HOST:
            return self._take_in(name, command.payload)
        if command.operation == DELETE:
            return self._delete(name, command.payload.get("uid", ""))
        if name in self.studies.suspended:
            if command.operation not in _TAKE_UP:
                self.studies.check_at_hand(name)
            self.recovery.take_up(name)
            if command.operation == "resume" and self.studies[name].state not in HELD:
                return {"study": name, "state": self.studies[name].state}
        if command.operation == "submit":
            self._submit(name, Spec.from_json(command.payload))
        elif command.operation == DEFINE and self.scheduled is not None:
            return self.scheduled.define(command)
        elif command.operation == "enqueue":
            return self._enqueue(self._at_hand(name), command.payload.get("params"))
        elif command.operation == "retry":
            return self._retry(self._at_hand(name), command.payload.get("trial"))
        elif command.operation == "reconcile":
            self.rounds.settle()
            self.recovery.take_up(name)
        elif name not in self.studies:
            return {"study": name, "state": self._steer_stored(name, command.operation)}
        elif (steered := _STEERED.get(command.operation)) is not None:
            self.studies.apply(self.studies[name], steered)
        else:
            raise BadInput(f"command '{command.operation}'", "is not one this version knows")
        return {"study": name, "state": self.studies[name].state}

    def _steer_stored(self, name: str, operation: str) -> str:
        """Steers a study that is not at hand: it has ended, or no `run` looks after it."""
        if operation in unattended.OPERATIONS:
            return unattended.steer_stored(self.ports.store, name, operation, self.clock.wall())
        return self.ports.store.load(name).state

    def _at_hand(self, name: str) -> StudyEngine:
        """Returns a study that may have ended, and need not be held in memory any more."""
        if name not in self.studies:
            self.studies.load(name)
        return self.studies[name]

    def _enqueue(self, engine: StudyEngine, params: Any) -> dict[str, Any]:
        check_configuration(params, engine.spec.distributions(), f"study '{engine.name}'")
        return self._add(engine, TrialEnqueued(params or {}))

    def _retry(self, engine: StudyEngine, number: Any) -> dict[str, Any]:
        known = type(number) is int and 0 <= number < engine.trials.count
        check_retry(engine.name, number, engine.storage.get_trial(number).state.name if known else None)
        return self._add(engine, TrialRetried(number))

    def _add(self, engine: StudyEngine, input: Input) -> dict[str, Any]:
        """Applies an input that makes a trial; answers with its number."""
        number = engine.trials.count
        self.studies.apply(engine, input)
        return {"study": engine.name, "state": engine.state, "trial": number}

    def _take_in(self, name: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Looks after the study of another `run` in the same folder, too."""
        if not self.run or payload.get("run") != self.run:
            raise BadInput(f"study '{name}'", "was handed to a run that has ended", "run its spec again")
        spec = Spec.from_json(payload.get("spec"))
        if name not in self.studies:
            if (suspension := self.ports.store.suspended().get(name)) is not None:
                self.studies.leave_suspended(name, suspension)
            if suspension is not None or name in self.ports.store.unsettled():
                self.recovery.take_up(name)
                self.recovery.lose_dead()
        self._guests.add(name)
        self._submit(name, spec)
        return {"study": name, "state": self.studies[name].state}

    def _delete(self, name: str, uid: Any) -> dict[str, Any]:
        """Deletes a study that is at rest, or is suspended; its files have to be gone first."""
        if self.deletion is None or self.ports.calendar is None:
            raise BadInput("command 'delete'", "is not one that this control plane can do")
        if name in self.studies:
            check_at_rest(name, self.studies[name].state)
            raise BadInput(f"study '{name}'", "still ends its last trials", "delete it in a moment")
        if self.deletion.uid_of(name) != uid:
            raise BadInput(f"study '{name}'", "is not the one that was to be deleted: that one is gone")
        self._deleting.add(name)
        if not self.deletion.delete_files(name):
            raise _Later
        self.deletion.end(name)
        if not self.ports.calendar.delete_study(name, self.clock.wall()):
            raise BadInput(f"study '{name}'", "there is none of that name in this database")
        self.studies.forget(name)
        log.info("study %s is deleted by a command", name, extra={"action": "study_deleted", "study": name})
        return {"study": name, "state": "deleted"}

    def _submit(self, name: str, spec: Spec) -> None:
        try:
            self._open_or_go_on(name, spec)
        except BadInput:
            if name not in self.studies:
                # What was started to check its classes would wait for ever.
                self.ports.replicas.close(name)
            raise

    def _open_or_go_on(self, name: str, spec: Spec) -> None:
        # Here too: whether a class can be imported is a question of this host.
        if ":" not in spec.sampler.name:
            check_sampler(spec, f"study '{name}'")
        if not self.ports.replicas.check(spec):
            raise _Later
        self.ports.notifier.check(spec)
        known = self.studies[name].spec if name in self.studies else None
        if known is not None:
            spec = going_on(known, spec)
        anew = known is None or any(getattr(known, key) != getattr(spec, key) for key in _MADE_ONCE)
        if anew and known is not None:
            self.rounds.settle()
        snapshot = self.ports.store.create(spec, self.clock.wall())
        spec = going_on(snapshot.spec, spec.stored()).model_copy(update={"run": snapshot.spec.run})
        if anew:
            self.studies.open(snapshot)
        self.studies.apply(self.studies[name], SpecChanged(spec.to_json()))
