"""What is committed and still has to be done: told to workers, to Celery, to whoever asked, and to the stream."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.artifacts import ArtifactBin
from orchestrator.checkpoints import CheckpointBin
from orchestrator.dispatch import Dispatcher
from orchestrator.engine import Answer, Batch, Revoke, Send
from orchestrator.stream import EventStream
from tasks.contract import Confirmation


class Actions:
    """Keeps what is to be done over a broken connection, for all of it can be done twice.

    Args:
        events: The stream.
        dispatcher: Celery.
        bin: Where checkpoints that nobody needs any more are thrown.
        artifacts: Where models and other files are.
    """

    def __init__(self, events: EventStream, dispatcher: Dispatcher, bin: CheckpointBin, artifacts: ArtifactBin) -> None:
        self._events = events
        self._dispatcher = dispatcher
        self._bin = bin
        self._artifacts = artifacts
        self.confirmations: dict[str, Confirmation] = {}
        self.acknowledge: list[bytes] = []
        self._revokes: list[Revoke] = []
        self._answers: list[Answer] = []
        self._sends: list[Send] = []
        self._results: list[tuple[str, str]] = []

    def add(self, batch: Batch) -> None:
        """Takes what came of a batch, once it is committed."""
        self.confirmations |= batch.confirmations
        self._revokes += batch.revokes
        self._answers += batch.answers
        self._sends += batch.sends
        for location in batch.discards:
            self._bin.throw(location)
        for id in batch.artifact_discards:
            self._artifacts.throw(id)
        if batch.sweep is not None:
            self._artifacts.sweep(batch.sweep)

    def answer_commands(self, results: Iterable[tuple[str, str]]) -> None:
        """Takes the answers to commands, by key, once they are committed."""
        self._results += results

    def on_its_way(self) -> set[str]:
        """Returns the tokens whose tasks are still to be sent."""
        return {send.job.token for send in self._sends}

    def do(self) -> None:
        """Does it all; what was done is struck off at once. Verdicts and their doorbells first: they free a slot.

        Raises:
            what a client raises when Redis or the broker is away; the rest is done at the next call.
        """
        self._events.confirm(self.confirmations)
        self.confirmations = {}
        while self._revokes:
            self._dispatcher.revoke(self._revokes[0].token)
            self._revokes.pop(0)
        self._events.reply(answer.reply for answer in self._answers)
        self._answers = []
        while self._sends:
            send = self._sends[0]
            self._dispatcher.send(send.job, send.queue, retry=send.retry)
            self._sends.pop(0)
        while self._results:
            self._events.answer(*self._results[0])
            self._results.pop(0)
        self._events.acknowledge(self.acknowledge)
        self.acknowledge = []
