"""Scheduled runs in the control plane: each planned run is decided on, begun, and looked after when it has ended."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, TypeGuard

from orchestrator.common.clock import Clock
from orchestrator.common.errors import BadInput
from orchestrator.common.formatting import duration
from orchestrator.control.engine_registry import EngineRegistry
from orchestrator.control.ports import Calendar, Ports
from orchestrator.control.rounds import Rounds
from orchestrator.control.run_cleanup import RunCleanup
from orchestrator.control.study_boundary import is_of_the_study
from orchestrator.control.warm_start import inherit
from orchestrator.engine.inputs import StudyStopped
from orchestrator.model.commands import Command
from orchestrator.model.planned_run import PlannedRun, PlannedRunState
from orchestrator.model.suspension import describe
from orchestrator.schedule.policies import PUNCTUAL_SECONDS, catch_up, overlap_action
from orchestrator.spec import Spec
from orchestrator.spec.cron import delay, run_name
from orchestrator.spec.sampler_factory import check_sampler
from orchestrator.spec.schedule import LONGEST_NAME, ScheduleTable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Order:
    """A command that asks for a run, read."""

    command: Command
    spec: Spec
    table: ScheduleTable
    planned: int
    manual: bool

    @property
    def schedule(self) -> str:
        return self.spec.name

    @property
    def due(self) -> float:
        return self.planned + (0.0 if self.manual else delay(self.schedule, self.planned, self.table.jitter))

    def slot(self, state: PlannedRunState, now: float, reason: str = "") -> PlannedRun:
        """Returns the row of this run in a state."""
        name = run_name(self.schedule, self.planned)
        return PlannedRun(self.schedule, self.planned, state, name, now, self.manual, reason)


@dataclass(eq=False)
class ScheduledRuns:
    """Applies the commands of beats and of people who want a run now, and begins what waits.

    All that it does can be done again: a slot that something is written of is not decided on a second time.

    Attributes:
        waits_for_class: Whether a run waits until a class of the user's own is made.
    """

    ports: Ports
    calendar: Calendar
    studies: EngineRegistry
    rounds: Rounds
    cleanup: RunCleanup
    clock: Clock
    waits_for_class: bool = field(default=False, init=False)
    _due: float = field(default=math.inf, init=False)

    @property
    def has_news(self) -> bool:
        """Whether there is something to tend to, or the time has come of what was asked for too early."""
        return self.cleanup.has_news or self.clock.wall() >= self._due

    def define(self, command: Command) -> dict[str, Any]:
        """Notes which timetable a schedule has."""
        try:
            definition, since = str(command.payload["definition"]), int(command.payload["since"])
        except (KeyError, TypeError, ValueError):
            raise BadInput("command 'define'", "is not one this version knows") from None
        now = self.clock.wall()
        self.calendar.define(command.study, definition, min(since, int(now)))
        if not definition:
            waiting = [run.slot for run in self.calendar.runs(command.study) if run.slot.state == "waiting"]
            gone = "its schedule is gone"
            self._write(*(replace(slot, state="skipped", reason=gone, decided=now) for slot in waiting))
        return {"schedule": command.study}

    def apply(self, commands: Sequence[Command]) -> dict[Command, dict[str, Any]]:
        """Decides on the slots whose time has come; returns the answers. The others are left for later."""
        answers: dict[Command, dict[str, Any]] = {}
        orders = []
        for command in commands:
            try:
                orders.append(_read(command))
            except BadInput as error:
                answers[command] = {"error": str(error)}
                self._refuse(command, error)
        now = self.clock.wall()
        self._due = min((order.due for order in orders if not order.manual and order.due > now), default=math.inf)
        orders.sort(key=lambda order: (order.schedule, order.planned, order.command.id))
        for schedule, group in groupby(orders, key=lambda order: order.schedule):
            together = list(group)
            try:
                answers |= self._decide(schedule, together, now)
            except Exception as error:
                if not is_of_the_study(error):
                    raise
                refused = BadInput(f"schedule '{schedule}'", describe(error))
                for order in together:
                    answers[order.command] = {"error": str(refused)}
                    self._refuse(order.command, refused)
        return answers

    def tend(self) -> None:
        """Looks after the runs that have ended, and begins those that waited for them."""
        self.waits_for_class = False
        there = self.calendar.open()
        self.cleanup.tend(there)
        waiting = [run.slot for run in there if run.slot.state == "waiting"]
        for schedule in dict.fromkeys(slot.schedule for slot in waiting):
            for slot in [each for each in waiting if each.schedule == schedule]:
                if any(run.goes_on for run in self.calendar.runs(schedule)):
                    break
                try:
                    self._begin(slot, slot.spec)
                except Exception as error:
                    if not is_of_the_study(error):
                        raise
                    self._write(replace(slot, state="refused", reason=describe(error)))

    def _decide(self, schedule: str, orders: list[_Order], now: float) -> dict[Command, dict[str, Any]]:
        known = self.calendar.find(schedule, [order.planned for order in orders])
        due = [order for order in orders if order.planned in known or order.manual or order.due <= now]
        fresh = [order for order in due if order.planned not in known]
        missed = _missed([order for order in fresh if not order.manual], now)
        for order in fresh:
            if order.planned in known:
                # A person's and the timetable's, in the same second.
                continue
            known[order.planned] = self._miss(order) if order in missed else self._place(order)
        return {order.command: _told(known[order.planned]) for order in due}

    def _refuse(self, command: Command, error: BadInput) -> None:
        """Notes that an order cannot be read: a beat of another version may have given it."""
        log.warning("an order of a run cannot be read: %s", error, extra={"action": "order_refused"})
        schedule, planned = command.payload.get("schedule"), command.payload.get("planned")
        if not isinstance(schedule, str) or len(schedule) > LONGEST_NAME or not _is_moment(planned):
            return
        if not self.calendar.find(schedule, [planned]):
            name, now = run_name(schedule, planned), self.clock.wall()
            self._write(PlannedRun(schedule, planned, "refused", name, now, reason=str(error)))

    def _miss(self, order: _Order) -> PlannedRun:
        slot = order.slot("missed", self.clock.wall(), _why_missed(order, self.clock.wall()))
        self._write(slot)
        return slot

    def _place(self, order: _Order) -> PlannedRun:
        """Runs a slot, has it wait, or skips it."""
        runs = self.calendar.runs(order.schedule)
        going = [run.slot.study for run in runs if run.goes_on]
        waiting = [run.slot for run in runs if run.slot.state == "waiting"]
        # Read from what is written, not remembered: who began the others of those that were missed may have died since.
        before = [run.slot.decided for run in runs if run.goes_on or run.slot.state == "waiting"]
        follows = order.table.catch_up == "all" and all(decided >= order.due for decided in before)
        now = self.clock.wall()
        verdict = overlap_action(order.table.overlap, goes_on=bool(going), waiting=len(waiting), follows=follows)
        if verdict == "replace":
            if all(name in self.studies for name in going):
                self._replace(going, waiting, order)
                verdict = "run"
            else:
                verdict = "skip"
        if verdict == "run":
            return self._begin(order.slot("running", now), order.command.payload["spec"])
        other = going[0] if going else waiting[-1].study
        if verdict == "wait":
            slot = replace(order.slot("waiting", now, f"{other} goes on"), spec=order.spec.to_json())
        else:
            slot = order.slot("skipped", now, f"{other} went on")
        self._write(slot)
        return slot

    def _replace(self, going: list[str], waiting: list[PlannedRun], order: _Order) -> None:
        name = run_name(order.schedule, order.planned)
        for study in going:
            self.studies.apply(self.studies[study], StudyStopped(f"replaced by {name}"))
        now = self.clock.wall()
        self._write(*(replace(slot, state="skipped", reason=f"replaced by {name}", decided=now) for slot in waiting))
        # Committed before the next one is made: a control plane that dies in between must not leave two that run.
        self.rounds.settle()

    def _begin(self, slot: PlannedRun, stored: Any) -> PlannedRun:
        """Makes a slot's study, and writes the slot with it; ``stored`` is the schedule's spec."""
        where, now = f"study '{slot.study}'", self.clock.wall()
        asked, slot = slot, replace(slot, state="running", reason="", spec=None, decided=now)
        try:
            spec, note = inherit(Spec.from_json(stored), slot, self.calendar)
            check_sampler(spec, where)
            self.ports.notifier.check(spec)
            if not self.ports.replicas.check(spec):
                # Tried again when a process beside the loop has something to say.
                self.waits_for_class = True
                waits = replace(slot, state="waiting", reason="its classes are being imported", spec=stored)
                if asked.state != "waiting":
                    self._write(waits)
                return waits
            slot = replace(slot, reason=note)
            snapshot = self.ports.store.create(spec, now, slot=slot)
        except BadInput as error:
            if slot.study not in self.studies:
                self.ports.replicas.close(slot.study)
            slot = replace(slot, state="refused", reason=str(error))
            self._write(slot)
            return slot
        log.info(
            "run %s%s", slot.study, f": {note}" if note else "", extra={"action": "run_begun", "study": slot.study}
        )
        with self.studies.guarded(slot.study):
            self.studies.open(snapshot)
        return slot

    def _write(self, *slots: PlannedRun) -> None:
        if slots:
            self.calendar.put(*slots)
        for slot in slots:
            extra = {"action": f"run_{slot.state}", "study": slot.study}
            log.info("run %s is %s: %s", slot.study, slot.state, slot.reason, extra=extra)


def _read(command: Command) -> _Order:
    """Reads a command that asks for a run.

    Raises:
        BadInput: it is none.
    """
    payload = command.payload
    spec = Spec.from_json(payload.get("spec"))
    planned, manual = payload.get("planned"), payload.get("manual")
    if spec.schedule is None or not _is_moment(planned):
        raise BadInput("command 'slot'", "is not one this version knows")
    return _Order(command, spec, spec.schedule, planned, manual is True)


def _is_moment(value: Any) -> TypeGuard[int]:
    """Whether it is a moment that has a date."""
    return isinstance(value, int) and 0 <= value < 2**37


def _missed(orders: list[_Order], now: float) -> list[_Order]:
    """Returns those of a schedule's slots that came too late and are not made up for."""
    if not orders:
        return []
    wanted = catch_up(orders[-1].table.catch_up, [now - order.due for order in orders])
    return [order for order, run in zip(orders, wanted, strict=True) if not run]


def _why_missed(order: _Order, now: float) -> str:
    """Returns which process was away when a run was due, and why it is not made up for."""
    issued = order.command.created
    if issued > order.due + PUNCTUAL_SECONDS:
        away = f"no beat asked for it until {duration(issued - order.due)} after its time"
    else:
        away = f"no control plane was up until {duration(now - order.due)} after its time"
    others = {"none": "makes up for no run", "last": "makes up for the last one alone"}
    return f"{away}; catch_up = {order.table.catch_up} {others.get(order.table.catch_up, '')}".rstrip()


def _told(slot: PlannedRun) -> dict[str, Any]:
    return {"study": slot.study, "state": slot.state, "reason": slot.reason}
