"""Facts from this program's own tables."""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Writer:
    """The holder of the writer's lease.

    Attributes:
        left: Seconds until it runs out, by the database's clock; negative when it has.
        gone: Whether the holder was a process of this host that runs no more.
        stopped: The holder's process id, where it is a process of this host that stands still, as after SIGSTOP.
        expires: When the lease runs out, as the database has it.
        still: For how many seconds the holder has not renewed it, where it would have; else 0.
    """

    holder: str
    term: int
    left: float
    gone: bool = False
    stopped: int = 0
    expires: float = 0.0
    still: float = 0.0

    @property
    def active(self) -> bool:
        return bool(self.holder) and self.left > 0 and not (self.gone or self.stopped or self.still)

    def doubtful(self, lease: float, patience: float) -> bool:
        """Whether it was not renewed within ``patience`` seconds by a holder whose leases last ``lease`` seconds, or
        ends later than one of these can."""
        return not lease - patience < self.left <= lease


@dataclass(frozen=True)
class Study:
    """A study that has not ended, or whose attempts have not.

    Attributes:
        changed: Age of its state, by this host's clock.
        budget: How many trials there are to be, those beside the spec's included.
        trials: How many there are.
        live: Its live attempts.
        error: Why its spec cannot be read; then nothing else of it is known.
        suspended: Why nothing is done for it until a person takes it up again; empty where that is not so.
        steady: Whether it stood so during the whole look.
        weight: Its share of the slots beside other studies.
        bundle: Digest of the code that it sends to workers; empty where it sends none.
    """

    name: str
    state: str = "running"
    queue: str = "trials"
    grace: float = 10.0
    changed: float = 0.0
    budget: int = 0
    trials: int = 0
    live: int = 0
    error: str = ""
    suspended: str = ""
    steady: bool = True
    weight: float = 1.0
    bundle: str = ""

    @property
    def open(self) -> bool:
        """Whether a control plane has to work for it."""
        return self.state in ("running", "ending") or self.live > 0


@dataclass(frozen=True)
class FailedStudy:
    """A study that has failed not long ago, and why.

    Attributes:
        age: How long ago.
        sends_code: Whether it sends a code bundle to workers.
        program: The entry of a worker's list that admits its program; empty where it runs none.
    """

    name: str
    queue: str
    reason: str
    age: float
    sends_code: bool = False
    program: str = ""


@dataclass(frozen=True)
class Attempt:
    """A live attempt.

    Attributes:
        sent: When its task was sent, as the database has it.
        age: How long it has been in this state, by this host's clock.
        ended: How long ago its trial ended, likewise; ``None`` while that goes on.
        silent: For how long nothing was heard of its trial, where that is far longer than ``pace``, the usual pause
            between two reports; else both are ``None``.
        steady: Whether it stood so during the whole look.
    """

    token: str
    study: str
    trial: int
    state: str
    runner: str = ""
    slot: str = ""
    sent: float | None = None
    age: float = 0.0
    ended: float | None = None
    silent: float | None = None
    pace: float | None = None
    steady: bool = True


@dataclass(frozen=True)
class Known:
    """An attempt that was asked about: its state, and how long ago it ended, if it has."""

    state: str
    ended: float | None = None


@dataclass(frozen=True)
class Command:
    """A command without an answer."""

    operation: str
    study: str
    age: float


@dataclass(frozen=True)
class FailedNotification:
    """A note that was given up not long ago: which event it was of, by which way, and how the last attempt went."""

    study: str
    event: str
    kind: str
    tries: int
    detail: str
    age: float


@dataclass(frozen=True)
class Overdue:
    """A schedule without a beat: ``slots`` of its planned times have passed, the first one ``late`` seconds ago."""

    schedule: str
    slots: int
    late: float


@dataclass(frozen=True)
class TableFacts:
    """The facts from our tables.

    Attributes:
        writer: ``None`` where there never was one.
        ended: Number of studies that are at rest.
        unattended: (study, trial) of trials that run without a live attempt.
        known: By token, of the attempts that were asked about, those that are in the table.
        code: Number of code bundles that are kept, and their bytes.
    """

    writer: Writer | None = None
    studies: tuple[Study, ...] = ()
    ended: int = 0
    attempts: tuple[Attempt, ...] = ()
    unattended: tuple[tuple[str, int], ...] = ()
    failed: tuple[FailedStudy, ...] = ()
    commands: tuple[Command, ...] = ()
    untold: tuple[FailedNotification, ...] = ()
    overdue: tuple[Overdue, ...] = ()
    known: dict[str, Known] = field(default_factory=dict)
    code: tuple[int, int] = (0, 0)

    @property
    def active(self) -> bool:
        """Whether a control plane is at work."""
        return self.writer is not None and self.writer.active

    @property
    def waiting(self) -> list[Study]:
        """The studies that need a control plane."""
        return [study for study in self.studies if study.open]

    def of(self, study: str, *states: str) -> list[Attempt]:
        """Returns the attempts of a study in these states that stood so during the whole look."""
        return [each for each in self.attempts if each.study == study and each.state in states and each.steady]


def steady(
    first: TableFacts, second: TableFacts, passed: float = 0.0, lease: float = 6.0, patience: float = 5.0
) -> TableFacts:
    """Returns the second look, with what has changed since the first marked, and what came up since left out.

    Args:
        first, second: What was seen.
        passed: Seconds between the two.
        lease: How long a lease lasts after it was renewed, in seconds.
        patience: Seconds within which a control plane that works renews it.

    Queue, stream and workers are looked at between the two. What stood still over both of them, and disagrees with
    what was seen in between, is no moment of passage.
    """
    before = {each.token: _stands(each) for each in first.attempts}
    studies = {each.name: (each.state, each.live, each.trials) for each in first.studies}
    writer = second.writer
    if writer is not None and writer.left > 0 and first.writer is not None and writer.expires == first.writer.expires:
        # A lease that ends later than one can was made by another clock, and does not tell when it was renewed.
        still = max(passed, lease - writer.left)
        writer = replace(writer, still=still if still >= patience else 0.0)
    return replace(
        second,
        writer=writer,
        studies=tuple(
            replace(each, steady=studies.get(each.name) == (each.state, each.live, each.trials))
            for each in second.studies
        ),
        attempts=tuple(replace(each, steady=before.get(each.token) == _stands(each)) for each in second.attempts),
        unattended=tuple(each for each in second.unattended if each in first.unattended),
    )


def _stands(attempt: Attempt) -> tuple[str, str, float | None]:
    return attempt.state, attempt.runner, attempt.sent
