"""One process that holds replicas of studies, and the thread that talks to it.

Nothing that grows with a study is done at once: a study is handed over in pieces, which the thread makes while the loop
goes on. Several questions go in one message, and answers come back as soon as they are there.
"""

from __future__ import annotations

import pickle
import queue
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, Protocol

import msgspec

from orchestrator.common.errors import BadInput
from orchestrator.control.replica_server import ASK, CLOSE, FEED, LOAD, OPEN, READY
from orchestrator.control.watched_process import Handle, Limits, ProcessFailed, explained, memory_of, receive
from orchestrator.model.changeset import Changes
from orchestrator.sampling.questions import Answer, Question, Role, feed_of
from orchestrator.sampling.study_copy import StudyCopy
from orchestrator.spec import Spec

MOST_REPLICAS = 64
"""Most studies that one process holds; above it, the least recently used study that awaits no answer is given up."""

MOST_TRIALS = 300_000
"""Most trials of all replicas of one process; above it, a study is given up as above."""

UNKNOWN = -1
"""Stands for the number of a replica."""


class ProcessHandle(Handle, Protocol):
    """A replica process that was started, with this end of its pipe."""

    pipe: Connection


Start = Callable[[], ProcessHandle]


class _Request(NamedTuple):
    """Messages to a process, to which so many results are the reply; ``study`` is the number of the study's replica,
    ``imports`` whether a class of the user's own may be imported meanwhile."""

    study: int
    messages: Iterable[bytes]
    results: int
    imports: bool = False


class Result(NamedTuple):
    """A message from a process: an answer, ``None`` when a study's replica is made, or the error by which it failed.

    The error is that of a study, or of ``UNKNOWN`` where no study is to blame. ``last`` says that the process has
    ended.
    """

    process: ReplicaProcess
    study: int
    content: Answer | Exception | None
    last: bool = False


class ReplicaProcess:
    """One process, and the thread that talks to it.

    Args:
        start: Starts the process.
        results: Takes what it says.
        wake: Called from another thread when there is something to take.
        limits: What it may take. Memory counts from the beginning of an answer.
        name: What it runs, for messages.
        own: Whether it is one study's own: then memory counts from when it was ready.

    Attributes:
        replicas: Number of trials by study, the least recently used one first.
        unanswered: Number of unanswered questions by study.
        failed: Whether it has ended.
    """

    def __init__(
        self,
        start: Start,
        results: queue.SimpleQueue[Result],
        wake: Callable[[], None],
        limits: Limits,
        name: str,
        *,
        own: bool,
    ) -> None:
        self.replicas: OrderedDict[int, int] = OrderedDict()
        self.unanswered: dict[int, int] = {}
        self.failed = False
        self._results = results
        self._wake = wake
        self._limits = limits
        self._name = name
        self._own = own
        self._held_when_ready = 0
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._closed = False
        self._process = start()
        self._thread = threading.Thread(target=self._serve, name="replicas", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def open(self, study: int, role: Role, spec: Spec, seed: int, held: StudyCopy) -> None:
        """Makes a replica of a study, as it is now, for its sampler or its pruner."""
        self.replicas[study] = len(held.trials)
        # A class that hangs while it is made reads nothing more: what is large is sent when it is there.
        made_from = _message(OPEN, study, (role, spec.to_json(), seed))
        self._requests.put(_Request(study, (made_from, _message(READY, study, None)), 1, imports=True))
        self._requests.put(_Request(study, self._loading(study, held), 1))
        self._give_up_old()

    def feed(self, study: int, changes: Changes) -> None:
        """Hands over what was committed of a study."""
        if (feed := feed_of(changes)) is not None:
            self._put(FEED, study, feed)
            self.replicas[study] += len(changes.new_trials)

    def ask(self, study: int, questions: Sequence[Question]) -> None:
        """Asks questions about a study, in their order; returns at once."""
        self.replicas.move_to_end(study)
        self.unanswered[study] = self.unanswered.get(study, 0) + len(questions)
        self._put(ASK, study, questions, len(questions))

    def drop(self, study: int) -> None:
        """Gives a study up."""
        if self.replicas.pop(study, None) is not None:
            self._put(CLOSE, study, None)
        self.unanswered.pop(study, None)

    def close(self) -> None:
        """Ends the process."""
        self._closed = True
        self._requests.put(None)
        self._process.end()
        self._thread.join()

    def note_answer(self, study: int) -> None:
        """Counts an answer."""
        if study in self.unanswered:
            self.unanswered[study] -= 1
            if not self.unanswered[study]:
                del self.unanswered[study]

    def _put(self, kind: int, study: int, content: object, results: int = 0) -> None:
        # Here, not in the thread: the study changes meanwhile.
        self._requests.put(_Request(study, (_message(kind, study, content),), results))

    def _loading(self, study: int, held: StudyCopy) -> Iterator[bytes]:
        """Yields the messages that fill a replica; the rest of them is not made where it is given up meanwhile."""
        for piece in held.pieces():
            if study not in self.replicas:
                break
            yield _message(LOAD, study, piece)
        yield _message(READY, study, None)

    def _give_up_old(self) -> None:
        for study in list(self.replicas)[:-1]:
            if len(self.replicas) <= MOST_REPLICAS and sum(self.replicas.values()) <= MOST_TRIALS:
                return
            if study not in self.unanswered:
                self.drop(study)

    def _serve(self) -> None:
        culprit = UNKNOWN
        decoder = msgspec.msgpack.Decoder(Answer)
        with self._process.pipe as pipe:
            try:
                pipe.send(sys.path)
                receive(pipe, self._process, self._name, self._limits.start_seconds)
                while (request := self._requests.get()) is not None:
                    # One of several studies is not to blame where the process has ended before it heard of this.
                    culprit = request.study if self._own else UNKNOWN
                    for message in request.messages:
                        pipe.send_bytes(message)
                        culprit = request.study
                    left = request.results
                    while left > 0:
                        said = self._receive(pipe, imports=request.imports)
                        left -= len(said)
                        self._say(request.study, *(self._content(kind, content, decoder) for kind, content in said))
            except Exception as error:
                self.failed = True
                why = explained(error, self._process, self._name)
                self._say(culprit, why, last=True)
            finally:
                self._process.end()

    def _receive(self, pipe: Connection, *, imports: bool) -> Sequence[tuple[str, Any]]:
        seconds = self._limits.answer_seconds
        if imports:
            seconds = max(seconds, self._limits.start_seconds)
        held = self._held_when_ready if self._own else 0
        most = (held or memory_of(self._process.pid)) + self._limits.memory
        said: Sequence[tuple[str, Any]]
        said = receive(pipe, self._process, self._name, seconds, most)
        if ("opened", None) in said:
            self._held_when_ready = memory_of(self._process.pid)
        return said

    def _content(self, kind: str, content: Any, decoder: msgspec.msgpack.Decoder[Answer]) -> Answer | Exception | None:
        if kind == "answer":
            return decoder.decode(content)
        if kind == "refused":
            return BadInput(*content)
        if kind == "opened":
            return None
        if kind == "raised":
            return ProcessFailed(content)
        if kind == "unstorable":
            return ProcessFailed(f"what {self._name} wrote to its study cannot be stored: {content}")
        return ProcessFailed(f"{self._name} failed: {content}")

    def _say(self, study: int, *contents: Answer | Exception | None, last: bool = False) -> None:
        if not self._closed:
            for content in contents:
                self._results.put(Result(self, study, content, last))
            self._wake()


def _message(kind: int, study: int, content: object) -> bytes:
    return pickle.dumps((kind, study, content), pickle.HIGHEST_PROTOCOL)
