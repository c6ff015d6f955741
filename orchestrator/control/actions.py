"""What is committed and still has to be done: told to workers, to Celery, to whoever asked, and to the stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from orchestrator.engine.outputs import Answer, Batch, Revoke, Send
from orchestrator.ports import Artifacts, Broker, Checkpoints, Passed, Step, Stream
from tasks.contract import Confirmation
from tasks.unavailable import unavailable


class Actions:
    """Keeps what is to be done over a broken connection, for all of it can be done twice.

    Args:
        events: The stream.
        broker: Where tasks wait.
        checkpoints: Where checkpoints that nobody needs any more are thrown.
        artifacts: Where models and other files are.
        passed: Told of each step.
        now: The time spent looking, in seconds, by which ``sent`` goes.

    Attributes:
        sent: When this control plane has sent a task, by its token.
    """

    def __init__(
        self,
        events: Stream,
        broker: Broker,
        checkpoints: Checkpoints,
        artifacts: Artifacts,
        passed: Passed,
        now: Callable[[], float],
    ) -> None:
        self._events = events
        self._broker = broker
        self._checkpoints = checkpoints
        self._artifacts = artifacts
        self._passed = passed
        self._now = now
        self.sent: dict[str, float] = {}
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
            self._checkpoints.throw(location)
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
        try:
            self._tell()
        except Exception as error:
            if (found := unavailable(error)) is not None and found.full:
                # What is committed may go, and it is what makes room for the rest.
                self._acknowledge()
            raise
        self._acknowledge()

    def _tell(self) -> None:
        if self.confirmations:
            self._events.confirm(self.confirmations)
            self.confirmations = {}
            self._passed(Step.CONFIRMED)
        while self._revokes:
            self._broker.revoke(self._revokes[0].token)
            self._revokes.pop(0)
            self._passed(Step.REVOKED)
        if self._answers:
            self._events.reply(answer.reply for answer in self._answers)
            self._answers = []
            self._passed(Step.REPLIED)
        while self._sends:
            send = self._sends[0]
            self._broker.send(send.job, send.queue, priority=send.priority)
            self._sends.pop(0)
            self.sent[send.job.token] = self._now()
            self._passed(Step.ENQUEUED)
        while self._results:
            self._events.answer(*self._results[0])
            self._results.pop(0)
            self._passed(Step.ANSWERED)

    def _acknowledge(self) -> None:
        if self.acknowledge:
            self._events.acknowledge(self.acknowledge)
            self.acknowledge = []
            self._passed(Step.ACKNOWLEDGED)
