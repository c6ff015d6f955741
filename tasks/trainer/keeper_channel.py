"""The channel of an attempt to its keeper, for all threads of the objective at once."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Final, NoReturn, Self

from optuna.exceptions import UpdateFinishedTrialError

from tasks.contract import ReadStudy, StudyView, Suggest
from tasks.trainer.fork_guard import ChildProcessStub, refuse_in_child
from tasks.trainer.interrupt import Interrupter
from tasks.trainer_messages import FromTrainer, Question, StudyReply, SuggestReply

_numbers: Final = itertools.count(1)
"""Ids of the questions of this process: unique over attempts, so that a late answer matches no other question."""


class KeeperChannel:
    """Sends messages of one attempt to its keeper, and waits for answers.

    As a context manager it excludes other threads and defers a stop, so that a thread changes the trial and sends that
    in one step. Each thread gets the answer to its own question. Threads that outlive the attempt can send nothing.

    Args:
        write: Writes a message to the keeper; call it while this is entered.
        interrupter: Raises the stop of the attempt in every thread that sends or waits.
        number: Number of the trial.
    """

    def __init__(self, write: Callable[[FromTrainer], None], interrupter: Interrupter, number: int = 0) -> None:
        self.write = write
        self._interrupter = interrupter
        self._number = number
        self._pid = os.getpid()
        # A signal handler of the objective's own may speak while the main thread does.
        self._lock = threading.RLock()
        self._turns: dict[str, threading.RLock] = {}
        self._waiting: dict[int, queue.SimpleQueue[SuggestReply | StudyReply | None]] = {}
        self._over = False

    def __reduce__(self) -> tuple[type[ChildProcessStub], tuple[()]]:
        return ChildProcessStub, ()

    @property
    def stopping(self) -> bool:
        """Whether the attempt was told to stop."""
        return self._interrupter.stopping

    # Not a generator: every report of a trial goes through here.
    def __enter__(self) -> Self:
        """Enters. Raises TrialStopped where the attempt was told to stop, UpdateFinishedTrialError after its end."""
        self._check_process()
        self._interrupter.defer()
        self._lock.acquire()
        if self._over:
            self.__exit__(None, None, None)
            self._leave()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, frames: object) -> None:
        self._lock.release()
        self._interrupter.undefer()
        if kind is None:
            self._interrupter.check()

    def send(self, frame: FromTrainer) -> None:
        """Sends a message to the keeper."""
        with self:
            self.write(frame)

    @contextlib.contextmanager
    def suggesting(self, name: str) -> Iterator[None]:
        """Excludes other threads that ask for the same parameter."""
        self._check_process()
        with self._turns.setdefault(name, threading.RLock()):
            yield

    def suggest(self, question: Suggest) -> SuggestReply:
        """Asks for the value of a parameter and waits for it."""
        answer = self._ask(question)
        assert isinstance(answer, SuggestReply)
        return answer

    def read_study(self) -> StudyView:
        """Asks for the trials of the study and waits for them. Raises RuntimeError where they cannot be sent."""
        answer = self._ask(ReadStudy())
        assert isinstance(answer, StudyReply)
        if answer.error:
            raise RuntimeError(f"trial.study: {answer.error}")
        return answer.study

    def deliver(self, answer: SuggestReply | StudyReply) -> None:
        """Delivers an answer to the thread that waits for it."""
        if waiting := self._waiting.pop(answer.id, None):
            waiting.put(answer)

    def wake(self) -> None:
        """Wakes all waiting threads, so that they stop. Any thread may call it."""
        for waiting in list(self._waiting.values()):
            waiting.put(None)

    def end(self) -> None:
        """Ends the attempt: nothing more is sent for it."""
        with self._lock:
            self._over = True
        self.wake()

    def _ask(self, question: Suggest | ReadStudy) -> SuggestReply | StudyReply:
        number = next(_numbers)
        waiting: queue.SimpleQueue[SuggestReply | StudyReply | None] = queue.SimpleQueue()
        try:
            with self:
                self._waiting[number] = waiting
                self.write(Question(id=number, question=question))
            # Not entered: this may take long, the control plane may be away, and a stop must interrupt it.
            return waiting.get() or self._leave()
        finally:
            self._waiting.pop(number, None)

    def _leave(self) -> NoReturn:
        self._interrupter.check()
        raise UpdateFinishedTrialError(f"Trial#{self._number} has already finished and can not be updated.")

    def _check_process(self) -> None:
        # Before any lock is taken: a forked child has not the thread that may hold it.
        if os.getpid() != self._pid:
            refuse_in_child()
