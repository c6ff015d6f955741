"""Samplers and pruner classes in processes beside the loop: a few warm ones that many studies share, and one for each
class of the user's.

The loop never waits for one. A thread a process hands questions over, waits for the answers as long as the limits
allow, and wakes the loop. A process may be ended at any time: its studies are given to another one, as they are then.
"""

from __future__ import annotations

import itertools
import logging
import os
import queue
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from orchestrator.common.errors import BadInput
from orchestrator.control.replica_process import UNKNOWN, ProcessHandle, ReplicaProcess, Result, Start
from orchestrator.control.watched_process import ExecutedProcess, Limits
from orchestrator.model.changeset import Changes
from orchestrator.sampling.pruner_replica import own_classes
from orchestrator.sampling.questions import Answer, Question, Role, role_of
from orchestrator.sampling.study_copy import StudyCopy
from orchestrator.spec import Spec

log = logging.getLogger(__name__)


def execute() -> ProcessHandle:
    """Starts a process with a new interpreter."""
    return ExecutedProcess("orchestrator.control.replica_server")


class NotAnswered(Exception):
    """The process is gone that held a study in this role, for no fault of the study: what is unanswered has to be asked
    again."""

    def __init__(self, role: Role) -> None:
        super().__init__(role)
        self.role = role


_MADE_FROM: dict[Role, tuple[str, ...]] = {
    "sampler": ("sampler",),
    "pruner": ("pruner", "shadow", "objectives", "max_steps", "trials"),
}
"""Keys of a spec from which what answers is made."""


@dataclass(eq=False)
class _Held:
    """A study in one role: the number of its replica, and where that is.

    ``loaded`` is whether the process has the study, or so far only what is to answer for it; ``used`` whether the study
    is at hand, or so far only checked.
    """

    spec: Spec
    role: Role
    seed: int
    number: int
    process: ReplicaProcess | None = None
    loaded: bool = False
    checked: bool = False
    refused: BadInput | None = None
    used: bool = False

    @property
    def title(self) -> str:
        """The name of the part that answers, for messages."""
        if self.role == "pruner":
            return f"the pruner {' and '.join(table.name for table in own_classes(self.spec).values())}"
        return f"the sampler {self.spec.sampler.name}"


def _is_own(spec: Spec, role: Role) -> bool:
    """Whether a class of the user's own answers in this role."""
    return bool(own_classes(spec)) if role == "pruner" else ":" in spec.sampler.name


def _roles(spec: Spec) -> list[Role]:
    return ["sampler", "pruner"] if own_classes(spec) else ["sampler"]


class ReplicaProcesses:
    """The replicas of all studies for their samplers, and of those with a pruner class of the user's own for that.

    Args:
        wake: Called from another thread when there is something to take.
        limits: What a sampler may take.
        most: Number of processes that studies share; 0 for the number of cores.
        start: Starts one of these.
        pruner_limits: What a pruner may take.
    """

    def __init__(
        self,
        wake: Callable[[], None] = lambda: None,
        limits: Limits | None = None,
        most: int = 0,
        start: Start = execute,
        pruner_limits: Limits | None = None,
    ) -> None:
        self._wake = wake
        self._limits: dict[Role, Limits] = {
            "sampler": limits or Limits(answer_seconds=600.0),
            "pruner": pruner_limits or Limits(),
        }
        self._most = most or len(os.sched_getaffinity(0))
        self._start = start
        self._shared: list[ReplicaProcess] = []
        self._studies: dict[tuple[str, Role], _Held] = {}
        self._numbers = itertools.count()
        self._of_number: dict[int, _Held] = {}
        self._results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._lost: list[tuple[str, Answer | Exception]] = []

    def warm_up(self) -> None:
        """Starts a process before there is something to ask."""
        if not self._shared:
            self._add_shared()

    def check(self, spec: Spec) -> bool:
        """Makes sure that the classes of the user's own can be had; returns whether that is known yet.

        Raises:
            BadInput: one cannot.
        """
        # Both at once, so that one starts while the other does.
        known = [self._check(spec, role) for role in _roles(spec)]
        return all(known)

    def open(self, spec: Spec, seed: int) -> None:
        """Begins anew for a study that was just read."""
        for role in ("sampler", "pruner"):
            if role not in _roles(spec):
                self._close(spec.name, role)
                continue
            known = self._studies.get((spec.name, role))
            if known is None or known.used or not _same(known.spec, spec, role):
                known = self._hold(spec, role, seed)
            known.spec, known.seed, known.used = spec, seed, True
            if role == "pruner" and known.process is None:
                # It is not to be imported while the first trial waits for its verdict.
                self._prepare(known)

    def feed(self, study: str, changes: Changes) -> None:
        """Hands over what was committed of a study."""
        for held in self._all_of(study):
            if held.process is not None and held.loaded:
                if held.number in held.process.replicas:
                    held.process.feed(held.number, changes)
                else:
                    held.process = None

    def ask(self, study: str, questions: Iterable[Question], copy: Callable[[], StudyCopy]) -> None:
        """Asks about a study, and returns at once.

        Args:
            study: Its name.
            questions: In the order of the fold.
            copy: Returns the study as it is now; used where no process holds it.
        """
        asked: dict[Role, list[Question]] = {}
        for question in questions:
            asked.setdefault(role_of(question.kind), []).append(question)
        for role, each in asked.items():
            held = self._studies[study, role]
            if held.process is None or not held.loaded or held.number not in held.process.replicas:
                self._load(held, copy())
            if held.process is not None:
                # One that has just ended answers nothing: the study is told to ask again.
                held.process.ask(held.number, each)

    @property
    def has_news(self) -> bool:
        """Whether there is something to take."""
        return not self._results.empty() or bool(self._lost)

    def take(self) -> list[tuple[str, Answer | Exception]]:
        """Returns what has come since the last call, by study: answers, or why there is none. ``NotAnswered`` where the
        study has to ask again."""
        while True:
            try:
                process, number, content, last = self._results.get_nowait()
            except queue.Empty:
                break
            held = self._of_number.get(number)
            if number == UNKNOWN and process in self._shared:
                log.warning("%s; its studies ask another one", content, extra={"action": "sampler_process_ended"})
            elif number == UNKNOWN:
                held = next((each for each in self._studies.values() if each.process is process), None)
            if held is not None and held.process is process:
                self._note(held, content)
            # Not where it has merely failed: closing it before it has said why would leave its study waiting for ever.
            if last:
                self._bury(process, number if held is None else held.number)
        lost, self._lost = self._lost, []
        return lost

    def close(self, study: str | None = None) -> None:
        """Lets go of a study, or ends all processes."""
        for name, role in list(self._studies):
            if study in (None, name):
                self._close(name, role)
        if study is None:
            for process in self._shared:
                process.close()
            self._shared.clear()

    def _check(self, spec: Spec, role: Role) -> bool:
        if not _is_own(spec, role):
            return True
        known = self._studies.get((spec.name, role))
        if known is None or not _same(known.spec, spec, role):
            if known is not None and known.used:
                # The study at hand goes on with its own until it is opened anew.
                return True
            known = self._hold(spec, role, spec.seed or 0)
            self._prepare(known)
        taken = self.take()
        self._lost += taken
        if known.refused is not None:
            self._close(spec.name, role)
            raise known.refused
        return known.checked

    def _note(self, held: _Held, content: Answer | Exception | None) -> None:
        if content is None:
            held.checked = True
            return
        if held.process is not None:
            held.process.note_answer(held.number)
        if isinstance(content, Exception) and not held.used:
            held.refused = content if isinstance(content, BadInput) else BadInput(held.role, str(content))
        else:
            self._lost.append((held.spec.name, content))

    def _bury(self, process: ReplicaProcess, culprit: int) -> None:
        """Lets go of a process that has ended; the studies that it held, but the one to blame, ask again."""
        if process in self._shared:
            self._shared.remove(process)
        for held in self._studies.values():
            if held.process is process:
                held.process = None
                if held.number != culprit and process.unanswered.get(held.number):
                    self._lost.append((held.spec.name, NotAnswered(held.role)))
        process.close()

    def _all_of(self, study: str) -> list[_Held]:
        found = [self._studies.get((study, "sampler")), self._studies.get((study, "pruner"))]
        return [held for held in found if held is not None]

    def _hold(self, spec: Spec, role: Role, seed: int) -> _Held:
        """Begins with a study."""
        self._close(spec.name, role)
        held = self._studies[spec.name, role] = _Held(spec, role, seed, -1)
        self._renumber(held)
        return held

    def _renumber(self, held: _Held) -> None:
        """Gives a study another number: what is still said of the replica before is not meant any more."""
        if held.process is not None:
            held.process.drop(held.number)
        self._of_number.pop(held.number, None)
        held.number = next(self._numbers)
        self._of_number[held.number] = held

    def _prepare(self, held: _Held) -> None:
        """Makes what is to answer for a study, and no copy of the study yet."""
        held.process = self._process_for(held)
        held.process.open(held.number, held.role, held.spec, held.seed, StudyCopy((), {}, {}, {}))

    def _load(self, held: _Held, copy: StudyCopy) -> None:
        """Gives a process the study: the one that was started to check a class, or another one."""
        if held.process is not None and (held.loaded or held.process.failed):
            self._leave(held)
        self._renumber(held)
        if held.process is None:
            held.process = self._process_for(held)
        held.loaded = True
        held.process.open(held.number, held.role, held.spec, held.seed, copy)

    def _close(self, study: str, role: Role) -> None:
        if (held := self._studies.pop((study, role), None)) is not None:
            self._of_number.pop(held.number, None)
            self._leave(held)

    def _leave(self, held: _Held) -> None:
        process, held.process = held.process, None
        if process is not None and process not in self._shared:
            process.close()
        elif process is not None and not process.failed:
            process.drop(held.number)

    def _process_for(self, held: _Held) -> ReplicaProcess:
        if _is_own(held.spec, held.role):
            limits = self._limits[held.role]
            return ReplicaProcess(execute, self._results, self._wake, limits, held.title, own=True)
        usable = [process for process in self._shared if not process.failed]
        best = min(usable, key=lambda each: (sum(each.unanswered.values()), len(each.replicas)), default=None)
        if best is None or (best.replicas and len(usable) < self._most):
            best = self._add_shared()
        return best

    def _add_shared(self) -> ReplicaProcess:
        limits = self._limits["sampler"]
        made = ReplicaProcess(self._start, self._results, self._wake, limits, "the sampler", own=False)
        self._shared.append(made)
        return made


def _same(one: Spec, other: Spec, role: Role) -> bool:
    return all(getattr(one, key) == getattr(other, key) for key in _MADE_FROM[role])
