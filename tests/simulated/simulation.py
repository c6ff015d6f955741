"""A whole search without a process: the real control plane on servers in memory, and slots that say what keepers would.

Time passes only where the control plane waits. Whatever can die does so when it is told to.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable

from orchestrator.common.clock import Clock
from orchestrator.common.errors import NotTheWriter
from orchestrator.common.patience import AWAY_SECONDS
from orchestrator.control.assembly import Options, make_controller
from orchestrator.control.controller import Controller
from orchestrator.control.journal import Journal
from orchestrator.control.ports import Hooks, Notifier, NullNotifier, Phase, Ports, RoundHook, StudyRepository, no_hook
from orchestrator.spec import Spec
from tasks.contract import (
    TERMINAL,
    Body,
    Confirmation,
    Event,
    Heartbeat,
    Job,
    Released,
    Revoked,
    Started,
    Stopped,
    Suggest,
)
from tasks.process_identity import with_namespace
from tasks.server_errors import unavailable
from tasks.signing import UNSIGNED, Keyring
from tests.simulated.course import Course, Files, Objective, Run, Slot, learning
from tests.simulated.direct_replicas import DirectReplicas
from tests.simulated.ledger import Ledger
from tests.simulated.memory import MemoryBroker, MemoryRedis, MemoryStream
from tests.simulated.memory_books import MemoryBooks, MemoryDatabase
from tests.simulated.memory_calendar import MemoryCalendar
from tests.simulated.memory_files import MemoryFiles, MemoryReports

LEASE = 6.0
HEARTBEAT = 2.0
MANY_ROUNDS = 20_000
NO_PROCESS = 2**31 - 2
"""A process id that is above what any kernel gives."""


class Died(BaseException):
    """The control plane was killed; nothing in it can catch this."""


class Simulation:
    """The servers, the slots, and the control plane that is active.

    Args:
        spec: The search.
        objective: What the slots run.
        slots: How many.
        observer: Told of each round.
        created: Whether its study is there from the beginning.
        slow_sampler: Seconds that a sampler takes for an answer.
        slow_pruner: Seconds that a pruner of the user's own takes for an answer.
        store: Opens a real database, as its writer, where that takes the place of the one in memory; schedules have
            none.
        keyring: Signs on both sides.

    Attributes:
        alive: Whether there is a control plane.
        deaths: The steps at which one has died.
        runs: Every start of an attempt.
        dead: Runners whose process is gone: nothing of theirs is sent again.
        beside_control: Whether runners live on the control plane's host, which sees that their processes are gone.
        garbage: What was put into the stream that is no event.
        notifier: Who tells people, from the next control plane on.
        record: Where the next control plane that is started records its inputs.
    """

    def __init__(
        self,
        spec: Spec,
        objective: Objective = learning,
        slots: int = 1,
        observer: RoundHook = no_hook,
        keyring: Keyring = UNSIGNED,
        *,
        created: bool = True,
        slow_pruner: float = 0.0,
        slow_sampler: float = 0.0,
        store: Callable[[], StudyRepository] | None = None,
    ) -> None:
        self.now = 1_700_000_000.0
        self.spec = spec
        self.objective = objective
        self.observer = observer
        self.redis = MemoryRedis(keyring=keyring)
        self.keyring = keyring
        self.database = MemoryDatabase()
        self.files = Files()
        self.clock = Clock(lambda: self.now, lambda: self.now, self.pass_time)
        self.slots = [Slot(f"slot-{count}") for count in range(slots)]
        self.runs: list[Run] = []
        self.dead: set[str] = set()
        self.beside_control = False
        self.garbage: list[bytes] = []
        self.deaths: list[Phase] = []
        self.passed: list[Phase] = []
        self._published: dict[str, int] = {}
        self._runners = itertools.count(1)
        self._beat_at = 0.0
        self._back_at: dict[str, float] = {}
        self._armed: Callable[[Phase], bool] | None = None
        self.reports = MemoryReports()
        self.record: Journal | None = None
        self.notifier: Notifier | None = None
        self._store = store
        if created:
            self._open().create(spec, self.now)
        self.slow_pruner = slow_pruner
        self.slow_sampler = slow_sampler
        self.controller: Controller | None = None

    @property
    def ledger(self) -> Ledger:
        return self.database.ledgers[self.spec.name]

    def _open(self) -> StudyRepository:
        return MemoryBooks(self.database) if self._store is None else self._store()

    # -- the control plane ----------------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        return self.controller is not None

    def start(self) -> None:
        """Starts a control plane that takes over from the active one."""
        bins, books = MemoryFiles(self.files), self._open()
        ports = Ports(
            books,
            MemoryStream(self.redis, self.clock),
            MemoryBroker(self.redis),
            bins,
            bins,
            MemoryCalendar(self.database, books) if isinstance(books, MemoryBooks) else None,
            self.reports,
            self.notifier or NullNotifier(),
            DirectReplicas(self.clock, self.slow_sampler, self.slow_pruner),
        )
        options = Options(LEASE, HEARTBEAT, keyring=self.keyring, record=self.record)
        hooks = Hooks(phase=self._pass, round=self.observer)
        self.controller = make_controller(ports, options, hooks, self.clock)
        try:
            self.controller.start()
        except Died:
            self.controller = None
        except Exception as error:
            self._stand_by(error)

    @property
    def sampler_has_answered(self) -> bool:
        """Whether the next round has an answer of a sampler to take in."""
        return self.controller is not None and self.controller.ports.replicas.has_news

    def round(self, *, wait: bool = False) -> int:
        """Lets the control plane do one round; returns what it read. It may die on the way."""
        if self.controller is None:
            self.start()
            return 1
        try:
            return self.controller.run_once(wait=wait).events
        except (Died, NotTheWriter):
            self.controller = None
        except Exception as error:
            self._stand_by(error)
        return 1

    def _stand_by(self, error: Exception) -> None:
        """As `serve` does: what is in memory may not be what was committed."""
        if unavailable(error) is None:
            raise error
        self.controller = None
        self.pass_time(AWAY_SECONDS)

    def kill_when(self, condition: Callable[[Phase], bool]) -> None:
        """The control plane dies at every step for which ``condition`` is true."""
        self._armed = condition

    def _pass(self, step: Phase) -> None:
        self.passed.append(step)
        if self._armed is not None and self._armed(step):
            self.deaths.append(step)
            raise Died

    # -- time -----------------------------------------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        """Lets keepers beat, and servers come back, at their times."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, max(self._beat_at, self.now + 0.001))
            for server, at in list(self._back_at.items()):
                if at <= self.now:
                    self._bring_back(server)
            if self.now >= self._beat_at:
                self._beat_at = self.now + HEARTBEAT
                self._beat()

    def send_away(self, server: str, seconds: float) -> None:
        """``redis``, ``database``: no client reaches it for a while. ``room``: Redis takes nothing for a while."""
        self._back_at[server] = self.now + seconds
        self._set_away(server, True)

    def bring_everything_back(self) -> None:
        for server in list(self._back_at):
            self._bring_back(server)

    def _bring_back(self, server: str) -> None:
        del self._back_at[server]
        self._set_away(server, False)

    def _set_away(self, server: str, away: bool) -> None:
        if server == "database":
            self.database.away = away
        elif server == "redis":
            self.redis.away = away
        else:
            self.redis.full = away

    def _beat(self) -> None:
        """Each keeper gives a sign of life, and sends again what was not confirmed."""
        if not self._writable:
            return
        for slot in self.slots:
            run = slot.run
            body = Heartbeat(host="host", slot=slot.name, busy=run is not None, queues=(self.spec.queue,))
            token, runner = (run.job.token, run.runner) if run else ("", "")
            self.redis.publish(Event(token=token, runner=runner, seq=0, body=body))
        for run in self.runs:
            if run.runner not in self.dead:
                self.resend(run)

    # -- the slots ------------------------------------------------------------------------------------------------

    @property
    def _reachable(self) -> bool:
        return not self.redis.away

    @property
    def _writable(self) -> bool:
        return not self.redis.away and not self.redis.full

    def unconfirmed(self, run: Run) -> list[Event]:
        """What the keeper of ``run`` still holds."""
        confirmation = self._confirmation(run)
        if confirmation is None:
            return list(run.said)
        if confirmation.runner == run.runner:
            return run.said[confirmation.seq :]
        return [] if confirmation.runner or confirmation.verdict else list(run.said)

    def resend(self, run: Run) -> None:
        if self._writable:
            # A question is asked until it is answered: the answer may be gone with the server.
            for event in self.unconfirmed(run) or run.said[-1:] * run.waiting:
                self.redis.publish(event)
            self._published[run.runner] = len(run.said)

    def turn(self, slot: Slot) -> bool:
        """Lets ``slot`` say one thing; returns whether it had anything to say."""
        event = self._say(slot)
        if event is None:
            return False
        if event.runner:
            self._flush()
        elif self._writable:
            self.redis.publish(event)
        return True

    def free(self, run: Run, body: Body | None = None) -> None:
        """The slot of ``run`` is free; ``body`` is its last word, where it has one."""
        for slot in self.slots:
            if slot.run is run:
                slot.run = None
        if body is not None:
            run.event(body)
            self._flush()

    def kill_keeper(self, run: Run) -> None:
        """What it has not published is gone with it."""
        self.free(run)
        self.dead.add(run.runner)

    def kill_host(self) -> None:
        """All keepers of the control plane's host die, and the tasks that waited there are gone."""
        for slot in self.slots:
            if slot.run is not None:
                self.kill_keeper(slot.run)
        self.redis.queues.clear()

    def start_run(self, slot: Slot, job: Job) -> Event:
        """Begins ``job`` on ``slot``: the first event of a new runner."""
        course = Course(job, self.files)
        runner, host, pid = f"runner-{next(self._runners)}", "elsewhere", 1
        if self.beside_control:
            runner, host, pid = with_namespace(runner), socket.gethostname(), NO_PROCESS
        run = slot.run = Run(course, runner, self.objective(course))
        self.runs.append(run)
        resume = job.checkpoints[0].step if job.checkpoints else None
        return run.event(Started(host=host, pid=pid, slot=slot.name, resume_step=resume))

    def _flush(self) -> None:
        """What was said and never published is published, while that is possible."""
        for run in self.runs:
            if run.runner not in self.dead and self._writable:
                for event in run.said[self._published.get(run.runner, 0) :]:
                    self.redis.publish(event)
                self._published[run.runner] = len(run.said)

    def _say(self, slot: Slot) -> Event | None:
        run = slot.run
        if run is None:
            return self._take_job(slot)
        confirmation = self._confirmation(run)
        if confirmation and (confirmation.verdict or confirmation.runner not in ("", run.runner)):
            slot.run = None
            return run.event(Stopped(latency=0.01))
        if run.waiting and not self._hear_reply(run):
            return None
        body = run.next()
        if isinstance(body, Suggest) and not body.used:
            run.waiting = True
        if isinstance(body, TERMINAL):
            slot.run = None
        return run.event(body)

    def _take_job(self, slot: Slot) -> Event | None:
        job = self.redis.take_job(self.spec.queue) if self._reachable else None
        if job is None:
            return None
        if job.token in self.redis.revoked:
            return Event(token=job.token, runner="", seq=0, body=Revoked(running=False))
        return self.start_run(slot, job)

    def _hear_reply(self, run: Run) -> bool:
        while self._reachable and (reply := self.redis.take_reply(run.runner)):
            if reply.seq == len(run.said):
                run.waiting, run.reply = False, reply
                return True
        return False

    def _confirmation(self, run: Run) -> Confirmation | None:
        return self.redis.confirmation(run.job.token) if self._reachable else None

    def shrink(self) -> None:
        """A slot goes, in order: the trial on it is handed back."""
        if len(self.slots) > 1:
            slot = self.slots.pop()
            if slot.run is not None:
                self.free(slot.run, Released())

    # -- to the end -----------------------------------------------------------------------------------------------

    def run_to_end(self) -> Simulation:
        """Goes on, with nothing more going wrong than was arranged, until the search has ended and everybody knows."""
        for _ in range(MANY_ROUNDS):
            spoke = [self.turn(slot) for slot in list(self.slots)]
            if any(spoke):
                self.round()
            elif not self.round(wait=True) and self.over:
                return self
        raise AssertionError(f"the search does not end: {self.ledger.rows()}")

    @property
    def over(self) -> bool:
        held = [run for run in self.runs if run.runner not in self.dead and self.unconfirmed(run)]
        busy = any(slot.run for slot in self.slots)
        control = self.controller
        return control is not None and control.idle and not control.bell.rung and not held and not busy
