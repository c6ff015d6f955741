"""What an objective says of its trial and asks about it, from any of its threads at once."""

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
"""Of the questions of this process: the answer to one of an earlier attempt is never taken for another's."""


class KeeperChannel:
    """The way of one attempt to the keeper.

    Each thread is told the answer to its own question. What one thread does to the trial and says of it, it does and
    says before another one does. Once the attempt has ended, threads that it left behind speak for no other attempt.

    Args:
        send: Writes a frame to the keeper; call it while speaking.
        interrupter: Holds the stop that may have been asked for: every thread meets it when it speaks or waits.
        number: The trial's.
    """

    def __init__(self, send: Callable[[FromTrainer], None], interrupter: Interrupter, number: int = 0) -> None:
        self.send = send
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

    def speaking(self) -> Self:
        """The span in which a thread changes the trial and says so: no other thread does meanwhile, no stop comes.

        Raises:
            TrialStopped: the attempt was told to stop.
            UpdateFinishedTrialError: the attempt has ended.
        """
        return self

    # Not a generator: every report of a trial goes through here.
    def __enter__(self) -> Self:
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

    def say(self, frame: FromTrainer) -> None:
        """Passes a frame on to the keeper."""
        with self:
            self.send(frame)

    @contextlib.contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """The span in which a thread finds out the value of a parameter; one that wants the same one waits for it."""
        self._check_process()
        with self._turns.setdefault(name, threading.RLock()):
            yield

    def suggest(self, question: Suggest) -> SuggestReply:
        """Asks for the value of a parameter, and waits for it."""
        answer = self._ask(question)
        assert isinstance(answer, SuggestReply)
        return answer

    def look(self) -> StudyView:
        """Asks for the study's trials, and waits for them.

        Raises:
            RuntimeError: they cannot be shown.
        """
        answer = self._ask(ReadStudy())
        assert isinstance(answer, StudyReply)
        if answer.error:
            raise RuntimeError(f"trial.study: {answer.error}")
        return answer.study

    def hear(self, answer: SuggestReply | StudyReply) -> None:
        """Takes an answer from the thread that reads what the keeper says."""
        if waiting := self._waiting.pop(answer.id, None):
            waiting.put(answer)

    def wake(self) -> None:
        """Has all that wait look whether they are to stop. Any thread may call it."""
        for waiting in list(self._waiting.values()):
            waiting.put(None)

    def end(self) -> None:
        """Nothing more is said for the attempt."""
        with self._lock:
            self._over = True
        self.wake()

    def _ask(self, question: Suggest | ReadStudy) -> SuggestReply | StudyReply:
        number = next(_numbers)
        waiting: queue.SimpleQueue[SuggestReply | StudyReply | None] = queue.SimpleQueue()
        try:
            with self:
                self._waiting[number] = waiting
                self.send(Question(id=number, question=question))
            # Outside: it may take long, the control plane may be away, and a stop is to interrupt it.
            return waiting.get() or self._leave()
        finally:
            self._waiting.pop(number, None)

    def _leave(self) -> NoReturn:
        self._interrupter.check()
        raise UpdateFinishedTrialError(f"Trial#{self._number} has already finished and can not be updated.")

    def _check_process(self) -> None:
        # Before any lock is taken: in a child that was forked, the thread that holds it is not there.
        if os.getpid() != self._pid:
            refuse_in_child()
