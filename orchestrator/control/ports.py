"""The ports of the control plane's loop: stream, broker, database, stores of files, notifier, replicas.

Redis, Celery and SQL databases are one implementation; every other one has to pass the same conformance suite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from orchestrator.control.process_ports import Replicas
from orchestrator.control.replica_processes import ReplicaProcesses
from orchestrator.messaging.event_stream import Entry
from orchestrator.model.changeset import Changes
from orchestrator.model.commands import Command
from orchestrator.model.notifications import DeliveryState, PendingNotification
from orchestrator.model.planned_run import PlannedRun, StudyRun
from orchestrator.model.progress_events import Best, Progress, Sent
from orchestrator.model.suspension import Suspension
from orchestrator.spec import Spec
from tasks.code_bundle import CodeMessage
from tasks.contract import Confirmation, Job, Reply

if TYPE_CHECKING:
    from orchestrator.engine.outputs import Batch, Sweep
    from orchestrator.engine.state import Snapshot


class NullNotifier:
    """Drops every note."""

    def owe(self, notes: Iterable[PendingNotification]) -> None:
        del notes

    def take_settled(self) -> dict[str, DeliveryState]:
        return {}

    def check(self, spec: Spec) -> None:
        del spec

    def close(self) -> None:
        """There is nothing to end."""


class Phase(StrEnum):
    """The places between two steps of a round; a control plane that dies at any of them loses nothing."""

    READ = "read"
    """Entries were read; none is folded."""
    DECIDED = "decided"
    """They are folded: trials are asked for, decisions taken; nothing is committed."""
    COMMITTED = "committed"
    """All of it is in the database; no other process has been told."""
    CONFIRMED = "confirmed"
    """Confirmations and verdicts are out; no task is revoked yet."""
    REVOKED = "revoked"
    """One revoke is out."""
    REPLIED = "replied"
    """Suggestions that were waited for are out."""
    ENQUEUED = "enqueued"
    """One task is in its queue."""
    ANSWERED = "answered"
    """The answers to commands are out."""
    ACKNOWLEDGED = "acknowledged"
    """The entries are acknowledged; nothing is left to do."""


@dataclass(frozen=True)
class Round:
    """The figures of one round of the control plane, once it is committed and done.

    ``events`` counts the stream entries that were folded in it; ``commit_seconds`` is how long their commit took,
    ``None`` where nothing was to be written. ``notes`` holds the new states of notifications. ``studies`` says where
    those at hand stand, each with its queue, ``slots`` how many are busy and idle; ``suspended`` is how many are
    suspended, ``code_bytes`` the size of the code that workers have asked for.
    """

    events: int
    commit_seconds: float | None
    batches: Mapping[str, Batch]
    notes: Mapping[str, DeliveryState]
    studies: Callable[[], Sequence[tuple[Progress, str]]]
    slots: Callable[[], tuple[int, int]]
    suspended: int = 0
    code_bytes: int = 0


PhaseHook = Callable[[Phase], None]
ProgressHook = Callable[[], None]
RoundHook = Callable[[Round], None]


def no_hook(*_: object) -> None:
    """Does nothing."""


@dataclass(frozen=True)
class Hooks:
    """The functions that the loop calls while it runs.

    Attributes:
        phase: Called at each phase of a round.
        progress: Called whenever the loop has done something, however small, and while it waits for a server.
        round: Called with each round; it has to be quick, and raises nothing.
    """

    phase: PhaseHook = no_hook
    progress: ProgressHook = no_hook
    round: RoundHook = no_hook


@dataclass
class Bell:
    """The reasons to look at the commands: one may wait, or a process beside the loop has answered."""

    rung: bool = True
    woken: bool = False


class Stream(Protocol):
    """The event stream, read by one consumer group, and the ways back to keepers and to people.

    Attributes:
        drained: Whether the last read has left nothing in the stream.
    """

    drained: bool

    def prepare(self) -> None:
        """Makes the group where it is missing; it begins with the oldest entry there is."""

    def read(self, wait: float) -> list[Entry]:
        """Returns the next entries, oldest first, waiting at most ``wait`` seconds for the first.

        Raises:
            ConsumerGroupMissing: there is no group.
        """

    def read_pending_again(self) -> None:
        """The next read begins with what was delivered and never acknowledged."""

    def end(self) -> bytes | None:
        """Returns the id of the newest entry, ``None`` where there is none."""

    def acknowledge(self, entries: Iterable[bytes]) -> None:
        """Drops these entries."""

    def dead_letter(self, data: bytes, reason: str) -> None:
        """Keeps an entry that is no event, with the reason."""

    def confirm(self, confirmations: Mapping[str, Confirmation]) -> None:
        """Publishes, by attempt, what is committed, and the verdicts."""

    def reply(self, replies: Iterable[Reply]) -> None:
        """Answers runners that wait for a suggestion."""

    def put_code(self, digest: str, message: CodeMessage) -> None:
        """Puts a code bundle where workers find it, for a while."""

    def answer(self, command: str, answer: str) -> None:
        """Tells the process that issued a command how it went."""

    def notify(self, notices: Mapping[str, Iterable[Sent]]) -> None:
        """Tells the watchers of studies, by name."""

    def forget(self, study: str, tokens: Iterable[str]) -> None:
        """Drops what is kept of a study that is deleted: the confirmations of its attempts, and its notices."""

    def probe(self) -> None:
        """Returns if keepers could be heard: the server is there, and takes what is written to it."""


class Broker(Protocol):
    """The queues in which tasks wait for slots."""

    def send(self, job: Job, queue: str, *, priority: int) -> None:
        """Puts a job into its queue. Those of 7 to 9 are taken first, then 4 to 6, then 1 to 3, and 0 last; of the same
        class in their order."""

    def revoke(self, token: str) -> None:
        """Rings the keeper of an attempt, and keeps its task from starting if it has not."""

    def waiting(self, queues: Iterable[str]) -> set[str]:
        """Returns the attempts whose tasks wait in these queues."""

    def lengths(self, queue: str) -> list[int]:
        """Returns how many tasks wait in a queue, by class of priority, the soonest first."""


class StudyRepository(Protocol):
    """The database, as its one writer uses it."""

    def commit(
        self,
        batches: Mapping[str, Changes],
        answers: Mapping[int, str] | None = None,
        notes: Mapping[str, DeliveryState] | None = None,
    ) -> None:
        """Writes the changes of several studies, by name, the answers to commands, and the new states of
        notifications, by their key: all or nothing.

        Raises:
            NotTheWriter: this process may not write any more.
            ForeignWrite: another process has ended a trial, or taken its number.
            StudyGone: another process has deleted or renamed a study.
            Exception: something in the changes cannot be written.
        """

    def create(
        self, spec: Spec, at: float, uid: str = "", seed: int | None = None, slot: PlannedRun | None = None
    ) -> Snapshot:
        """Creates a study, or returns the one of that name if it is the same search. With a ``slot`` the study is that
        slot's run alone: both are written, or neither.

        Raises:
            BadInput: a study of that name is another search, or, of a slot, is there already.
            NotTheWriter: this process may not write any more.
        """

    def load(self, name: str) -> Snapshot:
        """Reads a study.

        Raises:
            BadInput: there is no such study.
        """

    def trial_id(self, study: str, number: int) -> int | None:
        """Returns Optuna's id of a trial that this writer has written or read; ``None`` of another one."""

    def pending_commands(self) -> list[Command]:
        """Returns the commands that were not answered yet, oldest first."""

    def unsettled(self) -> list[str]:
        """Returns the names of the studies that have not ended, or have a live attempt; oldest first."""

    def live_tokens(self) -> dict[str, list[str]]:
        """Returns the tokens of the live attempts of all studies, by the study's name."""

    def pending_notifications(self) -> list[PendingNotification]:
        """Returns the notes that are still to be told, oldest first."""

    def suspend(self, name: str, suspension: Suspension) -> None:
        """Writes why nothing is done for a study; where there is no such study, nothing. Raises NotTheWriter."""

    def release(self, name: str) -> None:
        """Deletes what ``suspend`` has written of a study; raises as that does."""

    def suspended(self) -> dict[str, Suspension]:
        """Returns why nothing is done for which studies, by name."""

    def tokens(self, name: str) -> list[str]:
        """Returns the tokens of a study's attempts, without reading anything else of it."""

    def code(self, study: str, digest: str) -> CodeMessage | None:
        """Returns a code bundle of a study; ``None`` where the study has no such bundle."""

    def names(self) -> dict[str, str]:
        """Returns what the studies of ours are called now, by their unique id."""


class Notifier(Protocol):
    """Delivers notifications in the background."""

    def owe(self, notes: Iterable[PendingNotification]) -> None:
        """Takes notes that are committed, and returns at once."""

    def take_settled(self) -> dict[str, DeliveryState]:
        """Returns the states of notifications that changed since the last call, by their key."""

    def check(self, spec: Spec) -> None:
        """Checks that the notifications of a spec can be delivered here.

        Raises:
            BadInput: one cannot.
        """

    def close(self) -> None:
        """Ends; what is still owed stays so."""


class Calendar(Protocol):
    """The database, as the one writer uses it for schedules. All of it may be done twice.

    What changes something raises NotTheWriter where this process may not write any more.
    """

    def define(self, schedule: str, definition: str, since: int) -> None:
        """Notes a schedule's timetable, and since when it has it, unless it has that one already; with an empty
        ``definition``, that there is no such schedule any more."""

    def put(self, *slots: PlannedRun) -> None:
        """Writes what became of slots, in place of what was written of them before."""

    def find(self, schedule: str, planned: Iterable[int]) -> dict[int, PlannedRun]:
        """Returns those of a schedule's slots that something is written of."""

    def open(self) -> list[StudyRun]:
        """Returns the slots of all schedules about which something is still to be done; the earliest comes first."""

    def runs(self, schedule: str) -> list[StudyRun]:
        """Returns a schedule's slots that wait, or have a study; the latest comes first."""

    def bests(self, study: str, most: int) -> list[Best]:
        """Returns the best completed trials, at most so many, the best one first; of several objectives those of the
        Pareto front."""

    def attempts_of(self, study: str) -> tuple[str, list[str]]:
        """Returns a study's unique id, and the tokens of its attempts."""

    def throw_study(self, slot: PlannedRun) -> None:
        """Deletes the study of a slot, and writes the slot."""

    def delete_study(self, name: str, at: float) -> bool:
        """Deletes a study that a person wants deleted, and the commands about it; returns whether there was one."""


class Reports(Protocol):
    """The files of a study on this host, and the processes that write reports."""

    def ask(self, study: str) -> str | None:
        """Has the report of a study written; returns where it is, or why it is not, once that is known."""

    def delete(self, study: str) -> None:
        """Deletes a study's report, and what its trials have printed."""

    @property
    def has_news(self) -> bool:
        """Whether something is known now that ``ask`` has not returned yet."""

    @property
    def idle(self) -> bool:
        """Whether no deletion is pending."""

    def close(self) -> None:
        """Ends in order."""


class Deleter(Protocol):
    """One store of files; those that are no longer needed are deleted in the background."""

    def delete(self, location: str) -> None:
        """Deletes a file."""

    def delete_folder(self, location: str) -> None:
        """Deletes a folder with all that is in it."""

    def sweep(self, sweep: Sweep) -> None:
        """Deletes the artifacts that attempts which have ended have left, and that are not recorded."""

    @property
    def idle(self) -> bool:
        """Whether no deletion is pending."""

    def close(self) -> None:
        """Ends in order."""


@dataclass(frozen=True)
class Ports:
    """The world of one control plane.

    Attributes:
        checkpoints, artifacts: The stores of the files that workers write.
        calendar, reports: Where schedules and the reports of their runs are; without them nothing is run by a schedule.
    """

    store: StudyRepository
    events: Stream
    broker: Broker
    checkpoints: Deleter
    artifacts: Deleter
    calendar: Calendar | None = None
    reports: Reports | None = None
    notifier: Notifier = field(default_factory=NullNotifier)
    replicas: Replicas = field(default_factory=ReplicaProcesses)

    def close(self) -> None:
        """Ends all that works in the background; the database has everything."""
        self.notifier.close()
        self.checkpoints.close()
        self.artifacts.close()
        if self.reports is not None:
            self.reports.close()
