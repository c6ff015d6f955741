"""The effects of what is committed: on workers, on Celery, on the processes that issued commands, on the stream."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from orchestrator.common.clock import Clock
from orchestrator.common.errors import BadInput
from orchestrator.control.engine_registry import EngineRegistry
from orchestrator.control.liveness import HeartbeatTracker, SlotTracker
from orchestrator.control.ports import Phase, PhaseHook, Ports
from orchestrator.control.send_window import SendWindow
from orchestrator.control.study_boundary import is_of_the_study
from orchestrator.engine.outputs import Batch, Revoke, Send
from orchestrator.model.changeset import AttemptRow
from orchestrator.model.lifecycle import AttemptState
from tasks.contract import Confirmation, Reply
from tasks.server_errors import is_wrong_type, unavailable

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Effects:
    """Effects of committed batches. They outlive a broken connection, for each of them can be done twice.

    Attributes:
        confirmations: Confirmations for the keepers of the studies at hand, by attempt.
        strangers: Confirmations for the keepers of other attempts; they need no commit.
        acknowledge: Entries of the stream that may be dropped, each with the study that it is about.
        code_wanted: Studies, and the digests of their code bundles that workers ask for.
        code_bytes: Bytes of code that were put into Redis since the last round was measured.
        sent: When this control plane has sent a task, by its token, until the task was taken.
        window: The tasks that wait for their study's turn.
    """

    ports: Ports
    studies: EngineRegistry
    heartbeats: HeartbeatTracker
    slots: SlotTracker
    clock: Clock
    phase: PhaseHook
    sent: dict[str, float] = field(default_factory=dict, init=False)
    confirmations: dict[str, Confirmation] = field(default_factory=dict, init=False)
    strangers: dict[str, Confirmation] = field(default_factory=dict, init=False)
    code_wanted: set[tuple[str, str]] = field(default_factory=set, init=False)
    code_bytes: int = field(default=0, init=False)
    acknowledge: dict[bytes, str] = field(default_factory=dict, init=False)
    window: SendWindow = field(default_factory=SendWindow, init=False)
    _revokes: list[Revoke] = field(default_factory=list, init=False)
    _replies: list[tuple[str, Reply]] = field(default_factory=list, init=False)
    _sends: list[Send] = field(default_factory=list, init=False)
    _holds_sends: bool = field(default=False, init=False)
    _results: list[tuple[str, str]] = field(default_factory=list, init=False)

    def now(self) -> float:
        """Returns the time by which ``sent`` goes, in seconds."""
        return self.heartbeats.at(self.clock.monotonic())

    def add(self, study: str, batch: Batch) -> None:
        """Takes what came of a study's batch, once it is committed."""
        self.confirmations |= batch.confirmations
        self._revokes += batch.revokes
        self._replies += ((study, reply) for reply in batch.replies)
        self._note_taken(study, batch.changes.attempts)
        self._sends += (self.studies.addressed(study, send) for send in batch.sends)
        for location in batch.discards:
            self.ports.checkpoints.delete(location)
        for id in batch.artifact_discards:
            self.ports.artifacts.delete(id)
        if batch.sweep is not None:
            self.ports.artifacts.sweep(batch.sweep)

    def answer_commands(self, results: Iterable[tuple[str, str]]) -> None:
        """Takes the answers to commands, by key, once they are committed."""
        self._results += results

    @contextmanager
    def holding_sends(self) -> Iterator[None]:
        """Inside, no task is sent. Then they go in the order in which slots are to take them: by priority, trials that
        were cut off, and by number."""
        self._holds_sends = True
        try:
            yield
        finally:
            self._holds_sends = False
            self._sends.sort(key=lambda send: (-send.priority, send.job.attempt == 1, send.job.trial))

    def on_its_way(self) -> set[str]:
        """Returns the tokens whose tasks are still to be sent."""
        return {send.job.token for send in self._sends} | self.window.tokens()

    def _note_taken(self, study: str, attempts: Mapping[str, AttemptRow]) -> None:
        """Takes note of tasks that wait no more, whether a slot took them or their attempt has ended."""
        taken = 0
        for token, row in attempts.items():
            if row.state != AttemptState.SENT:
                self.window.drop(token)
                if self.sent.pop(token, None) is not None and row.state == AttemptState.RUNNING:
                    taken += 1
                    self.slots.take(row.slot)
        if taken:
            self.window.note_taken(self.studies[study].spec.queue, taken, self.clock.monotonic())

    def stop(self, confirmations: Mapping[str, Confirmation]) -> None:
        """Takes verdicts on attempts whose study is no more."""
        self.confirmations |= confirmations
        self._revokes += map(Revoke, confirmations)

    def withdraw_confirmations(self, studies: Container[str]) -> None:
        """Drops the confirmations of these studies: they may have come of what is not committed."""
        self.confirmations = {
            token: each for token, each in self.confirmations.items() if self.studies.name_of(token) not in studies
        }

    def withdraw(self, study: str) -> None:
        """Drops what may have come of what is not committed, and keeps the study's entries in the stream: they are
        read again."""
        self.withdraw_confirmations((study,))
        self.acknowledge = {entry: name for entry, name in self.acknowledge.items() if name != study}

    def do(self) -> None:
        """Does it all; what was done is struck off at once. Verdicts and their doorbells first: they free a slot.

        Raises:
            what a client raises when Redis or the broker is away; the rest is done at the next call.
        """
        try:
            self._tell()
        except Exception as error:
            if (found := unavailable(error)) is not None and found.full:
                # What is committed may go, and it is what makes room for the rest.
                self._acknowledge()
            raise
        self._acknowledge()

    def _tell(self) -> None:
        self.confirmations |= self.strangers
        self.strangers = {}
        if self.confirmations:
            self._for_each(
                list(self.confirmations.items()),
                lambda item: self.studies.name_of(item[0]),
                lambda items: self.ports.events.confirm(dict(items)),
            )
            self.confirmations = {}
            self.phase(Phase.CONFIRMED)
        while self._revokes:
            self.ports.broker.revoke(self._revokes[0].token)
            self._revokes.pop(0)
            self.phase(Phase.REVOKED)
        if self._replies:
            self._for_each(
                self._replies,
                lambda item: item[0],
                lambda items: self.ports.events.reply([reply for _, reply in items]),
            )
            self._replies = []
            self.phase(Phase.REPLIED)
        self._put_code()
        if not self._holds_sends:
            self._send_tasks()
        while self._results:
            self.ports.events.answer(*self._results[0])
            self._results.pop(0)
            self.phase(Phase.ANSWERED)

    def _put_code(self) -> None:
        for study, digest in sorted(self.code_wanted):
            with self.studies.guarded(study):
                message = self.ports.store.code(study, digest)
                if message is None and self._runs(study, digest):
                    # Else each of its trials would take a slot, wait, and be handed back, for ever.
                    problem = f"bundle {digest[:12]} is not in the database"
                    raise BadInput(f"code of study '{study}'", problem, "submit the study again")
                if message is None:
                    log.error("study %s has no code %s", study, digest[:12], extra={"action": "code_missing"})
                else:
                    self.ports.events.put_code(digest, message)
                    self.code_bytes += len(message.archive)
            self.code_wanted.discard((study, digest))

    def _runs(self, study: str, digest: str) -> bool:
        """Whether a digest is that of the code that a study's next trials run."""
        code = self.studies[study].spec.code if study in self.studies else None
        return code is not None and code.bundle == digest

    def _send_tasks(self) -> None:
        blocked = []
        while self._sends:
            send = self._sends[0]
            if send.weight is not None:
                self.window.add(send, send.weight)
            elif not self._send(send):
                blocked.append(send)
            self._sends.pop(0)
        self._sends = blocked
        for queue in self.window.queues():
            lengths = self._lengths(queue)
            most = self.window.size(queue, self.clock.monotonic()) + self.slots.idle(queue)
            while (due := self.window.due(queue, lengths, most)) is not None:
                # A study that is not at hand any more has its tasks sent again when it is taken up.
                if due.job.study in self.studies and not self._send(due):
                    break
                self.window.sent(due, lengths)

    def _lengths(self, queue: str) -> list[int] | None:
        """Returns how many tasks wait with the broker, by class of priority; ``None`` where they may all wait there,
        because one study alone has the queue, or no slot takes from it."""
        running = {engine.name for engine in self.studies if engine.spec.queue == queue and engine.state == "running"}
        if len(running | self.window.studies(queue)) <= 1 or not self.slots.count(queue):
            return None
        lengths = self.ports.broker.lengths(queue)
        ours = any((engine := self.studies.of(token)) and engine.spec.queue == queue for token in self.sent)
        # Another control plane may use the same queue, and be always there before this one.
        return lengths if ours else [0] * len(lengths)

    def _send(self, send: Send) -> bool:
        """Sends a task; returns whether its queue could take one."""
        with self.studies.guarded(send.job.study):
            try:
                self.ports.broker.send(send.job, send.queue, priority=send.priority)
            except Exception as error:
                if not is_wrong_type(error):
                    raise
                # It waits until the key is deleted; the tasks of other queues do not.
                return False
        self.sent[send.job.token] = self.now()
        self.phase(Phase.ENQUEUED)
        return True

    def _for_each(
        self, items: Collection[T], study_of: Callable[[T], str], tell: Callable[[Collection[T]], None]
    ) -> None:
        """Sends all of it at once, or one by one where something cannot be sent."""
        try:
            tell(items)
        except Exception as error:
            if not is_of_the_study(error):
                raise
            for item in items:
                with self.studies.guarded(study_of(item)):
                    tell([item])

    def _acknowledge(self) -> None:
        if self.acknowledge:
            self.ports.events.acknowledge(self.acknowledge)
            self.acknowledge = {}
            self.phase(Phase.ACKNOWLEDGED)
