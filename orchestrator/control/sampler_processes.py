"""Samplers in processes beside the loop: a few warm ones that many studies share, and one for each class of the user's.

The loop never waits for a sampler. A thread a process hands questions over, waits for the answers as long as the limits
allow, and wakes the loop. A process may be ended at any time: its studies are given to another one, as they are then.
"""

from __future__ import annotations

import itertools
import logging
import os
import queue
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from orchestrator.common.errors import BadInput
from orchestrator.control.sampler_process import ProcessHandle, Result, SamplerProcess, Start
from orchestrator.control.watched_process import ExecutedProcess, Limits
from orchestrator.model.changeset import Changes
from orchestrator.sampling.questions import Answer, Question
from orchestrator.sampling.study_copy import StudyCopy
from orchestrator.spec import Spec

log = logging.getLogger(__name__)


def execute() -> ProcessHandle:
    """Starts a process with a new interpreter."""
    return ExecutedProcess("orchestrator.control.sampler_server")


class NotAnswered(Exception):
    """The process of a study's sampler is gone, for no fault of the study: what is unanswered has to be asked again."""


@dataclass(eq=False)
class _Held:
    """A study that has a sampler: the number of its replica, and where that is."""

    spec: Spec
    seed: int
    number: int
    process: SamplerProcess | None = None
    checked: bool = False
    refused: BadInput | None = None
    used: bool = field(default=False)


class SamplerProcesses:
    """The samplers of all studies.

    Args:
        wake: Called from another thread when there is something to take.
        limits: What a process may take.
        most: Number of processes that studies share; 0 for the number of cores.
        start: Starts one of these.
    """

    def __init__(
        self,
        wake: Callable[[], None] = lambda: None,
        limits: Limits | None = None,
        most: int = 0,
        start: Start = execute,
    ) -> None:
        self._wake = wake
        self._limits = limits or Limits(answer_seconds=600.0)
        self._most = most or len(os.sched_getaffinity(0))
        self._start = start
        self._shared: list[SamplerProcess] = []
        self._studies: dict[str, _Held] = {}
        self._names: dict[int, str] = {}
        self._numbers = itertools.count()
        self._results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._lost: list[tuple[str, Answer | Exception]] = []

    def warm_up(self) -> None:
        """Starts a process before there is something to ask."""
        if not self._shared:
            self._add_shared()

    def check(self, spec: Spec) -> bool:
        """Makes sure that a class of the user's own can be had; returns whether that is known yet.

        Raises:
            BadInput: it cannot.
        """
        if ":" not in spec.sampler.name:
            return True
        known = self._studies.get(spec.name)
        if known is None or known.spec.sampler != spec.sampler:
            if known is not None and known.used:
                # The study at hand goes on with its own until it is opened anew.
                return True
            known = self._hold(spec, spec.seed or 0)
            self._give_process(known, StudyCopy((), {}, {}, {}))
        self._take_results()
        if known.refused is not None:
            self.close(spec.name)
            raise known.refused
        return known.checked

    def open(self, spec: Spec, seed: int) -> None:
        """Begins anew for a study that was just read."""
        self._hold(spec, seed).used = True

    def feed(self, study: str, changes: Changes) -> None:
        """Hands over what was committed of a study."""
        held = self._studies[study]
        if held.process is not None:
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
        held = self._studies[study]
        if held.process is None or held.number not in held.process.replicas:
            self._renumber(held)
            self._give_process(held, copy())
        if held.process is not None:
            # One that has just ended answers nothing: the study is told to ask again.
            held.process.ask(held.number, tuple(questions))

    @property
    def has_news(self) -> bool:
        """Whether there is something to take."""
        return not self._results.empty() or bool(self._lost)

    def take(self) -> list[tuple[str, Answer | Exception]]:
        """Returns what has come since the last call, by study: answers, or why there is none. ``NotAnswered`` where the
        study has to ask again."""
        return self._take_results()

    def close(self, study: str | None = None) -> None:
        """Lets go of a study, or ends all processes."""
        for name in list(self._studies) if study is None else [study]:
            if (held := self._studies.pop(name, None)) is not None:
                self._names.pop(held.number, None)
                self._leave(held)
        if study is None:
            for process in self._shared:
                process.close()
            self._shared.clear()

    def _take_results(self) -> list[tuple[str, Answer | Exception]]:
        while True:
            try:
                process, number, content, last = self._results.get_nowait()
            except queue.Empty:
                break
            name = self._names.get(number)
            if name is not None and self._studies[name].process is process:
                self._note(self._studies[name], name, content)
            # Not where it has merely failed: closing it before it has said why would leave its study waiting for ever.
            if last:
                self._bury(process, number)
        lost, self._lost = self._lost, []
        return lost

    def _note(self, held: _Held, name: str, content: Answer | Exception | None) -> None:
        if content is None:
            held.checked = True
            return
        if held.process is not None:
            held.process.note_answer(held.number)
        if isinstance(content, BadInput) and not held.used:
            held.refused = content
        else:
            self._lost.append((name, content))

    def _bury(self, process: SamplerProcess, culprit: int) -> None:
        """Lets go of a process that has ended; the studies that it held, but the one to blame, ask again."""
        if process in self._shared:
            self._shared.remove(process)
        for name, held in self._studies.items():
            if held.process is process:
                held.process = None
                if held.number != culprit and process.unanswered.get(held.number):
                    self._lost.append((name, NotAnswered()))
        process.close()

    def _hold(self, spec: Spec, seed: int) -> _Held:
        """Begins with a study; a class of its own that was checked is used."""
        known = self._studies.get(spec.name)
        if known is not None:
            self.close(spec.name)
        number = next(self._numbers)
        held = self._studies[spec.name] = _Held(spec, seed, number)
        self._names[number] = spec.name
        return held

    def _renumber(self, held: _Held) -> None:
        """Gives a study another number: what is still said of the replica before is not meant any more."""
        self._leave(held)
        del self._names[held.number]
        held.number = next(self._numbers)
        self._names[held.number] = held.spec.name

    def _leave(self, held: _Held) -> None:
        process, held.process = held.process, None
        if process is not None and process not in self._shared:
            process.close()
        elif process is not None and not process.failed:
            process.drop(held.number)

    def _give_process(self, held: _Held, copy: StudyCopy) -> None:
        if ":" in held.spec.sampler.name:
            process = SamplerProcess(execute, self._results, self._wake, self._limits)
        else:
            process = self._least_busy()
        held.process = process
        process.open(held.number, held.spec, held.seed, copy)

    def _least_busy(self) -> SamplerProcess:
        usable = [process for process in self._shared if not process.failed]
        best = min(usable, key=lambda each: (sum(each.unanswered.values()), len(each.replicas)), default=None)
        if best is None or (best.replicas and len(usable) < self._most):
            best = self._add_shared()
        return best

    def _add_shared(self) -> SamplerProcess:
        made = SamplerProcess(self._start, self._results, self._wake, self._limits)
        self._shared.append(made)
        return made
