"""Sends commands to the control plane: a row in the database, a wake-up on the stream, and the wait for the answer."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, NamedTuple

import redis

from orchestrator.common.data_folder import redis_url_of, storage_url_of
from orchestrator.common.errors import BadInput, OrchestratorError
from orchestrator.common.patience import Patient, at_once
from orchestrator.common.settings import Settings
from orchestrator.messaging.event_stream import ring
from orchestrator.model.commands import DELETE, HOST
from orchestrator.model.planned_run import OPERATION, order
from orchestrator.spec import Spec
from orchestrator.spec.compare import requested
from orchestrator.spec.cron import run_name
from orchestrator.storage.command_table import CommandTable
from orchestrator.storage.database import Database
from tasks import redis_keys
from tasks.app import as_bytes, connect

POLL_SECONDS = 0.25
LOOK_SECONDS = 1.0


class NoAnswer(OrchestratorError):
    """No control plane applied the command in time; it will when there is one."""


class Added(NamedTuple):
    """A trial that was added: its number, and the state of its study."""

    trial: int
    study_state: str


def issuer_name() -> str:
    """Returns the issuer of this process's commands: user, host and process id."""
    return f"{getpass.getuser()}@{socket.gethostname()} ({os.getpid()})"


class CommandClient:
    """Issues commands and waits for their answers.

    Args:
        table: The table of commands.
        client: Redis; without it the control plane finds a command when it next polls the database.
        patient: Calls the database, and may retry.
    """

    def __init__(self, table: CommandTable, client: redis.Redis | None, patient: Patient = at_once) -> None:
        self._table = table
        self._client = client
        self._patient = patient

    def submit(self, spec: Spec, check: Callable[[], None], seconds: float | None = None) -> str:
        """Creates a study, or goes on with the one of that name; returns its state.

        Raises:
            BadInput: the control plane refused; the message says why.
            NoAnswer: ``seconds`` went by without one.
        """
        return str(self._issue("submit", spec.name, requested(spec), check, seconds)["state"])

    def host(self, spec: Spec, run: int, check: Callable[[], None]) -> str:
        """Hands a study to the control plane of the `run` whose process id is ``run``; returns its state. Waits until
        ``check`` raises. Raises as ``submit`` does."""
        payload = {"run": run, "spec": requested(spec)}
        return str(self._issue(HOST, spec.name, payload, check, None)["state"])

    def command(self, operation: str, study: str, seconds: float, check: Callable[[], None] = lambda: None) -> str:
        """Pauses, resumes, stops or reconciles a study; returns its state. Raises as ``submit`` does, and what
        ``check`` raises, which is called now and then."""
        return str(self._issue(operation, study, {}, check, seconds)["state"])

    def add(self, operation: str, study: str, payload: dict[str, Any], seconds: float) -> Added:
        """Adds a trial to a study (enqueue, retry); raises as ``submit`` does."""
        answer = self._issue(operation, study, payload, lambda: None, seconds)
        return Added(int(answer["trial"]), str(answer["state"]))

    def run_schedule_now(self, spec: Spec, planned: int, seconds: float) -> dict[str, Any]:
        """Runs a scheduled search beside its timetable, as the slot of the second ``planned``; returns the study, its
        slot's state, and the reason for it. Raises as ``submit`` does."""
        payload = order(spec, planned, manual=True)
        return self._issue(OPERATION, run_name(spec.name, planned), payload, lambda: None, seconds)

    def delete(self, study: str, uid: str, check: Callable[[], None], seconds: float) -> None:
        """Has the active control plane delete a study, by its unique id; a command that is given up is withdrawn, for
        it must not hit a later study.

        Args:
            check: Called now and then; an exception of it ends the waiting.

        Raises:
            BadInput: the control plane refused; the message says why.
            NoAnswer: it was not done within ``seconds``.
        """
        try:
            self._issue_for_now(DELETE, study, {"uid": uid}, check, seconds)
        except NoAnswer:
            problem = f"the control plane did not delete it within {seconds:g} s, and the command is withdrawn"
            raise NoAnswer(f"study '{study}': {problem}; the same command goes on with it") from None

    def steer_now(self, operation: str, study: str, check: Callable[[], None], seconds: float) -> str:
        """Has the active control plane pause, interrupt or stop a study, whether or not it looks after that one.

        Returns the study's state. A command that is given up is withdrawn, for it must not hit a later run of the
        study. Arguments and errors as of ``delete``.
        """
        try:
            return str(self._issue_for_now(operation, study, {}, check, seconds)["state"])
        except NoAnswer:
            problem = f"the active control plane did not answer within {seconds:g} s, and the command is withdrawn"
            raise NoAnswer(f"study '{study}': {problem}; try again in a moment") from None

    def _issue_for_now(
        self, operation: str, study: str, payload: dict[str, Any], check: Callable[[], None], seconds: float
    ) -> dict[str, Any]:
        key = self._put(operation, study, payload)
        try:
            return self._answer_to(key, operation, check, seconds)
        finally:
            self._table.withdraw(key)

    def enqueue(self, operation: str, study: str, payload: dict[str, Any]) -> None:
        """Stores a command for the next control plane of the study, and does not wait for the answer."""
        self._put(operation, study, payload)

    def _issue(
        self,
        operation: str,
        study: str,
        payload: dict[str, Any],
        check: Callable[[], None],
        seconds: float | None,
    ) -> dict[str, Any]:
        return self._answer_to(self._put(operation, study, payload), operation, check, seconds)

    def _answer_to(self, key: str, operation: str, check: Callable[[], None], seconds: float | None) -> dict[str, Any]:
        # A lost wake-up costs time only: the control plane polls the table.
        if self._client is not None:
            with contextlib.suppress(redis.RedisError):
                ring(self._client)
        answer: dict[str, Any] = json.loads(self._await(key, operation, check, seconds))
        if "error" in answer:
            where, _, problem = answer["error"].partition(": ")
            raise BadInput(where, problem)
        return answer

    def _put(self, operation: str, study: str, payload: dict[str, Any]) -> str:
        key = str(uuid.uuid4())
        # A write whose reply was lost may be retried: the same key twice is one command.
        self._patient(lambda: self._table.issue(key, issuer_name(), operation, study, payload))
        return key

    def _await(self, key: str, operation: str, check: Callable[[], None], seconds: float | None) -> str:
        begun = looked = time.monotonic()
        while seconds is None or time.monotonic() - begun < seconds:
            check()
            if (told := self._listen(key)) is not None:
                return told
            if time.monotonic() - looked > LOOK_SECONDS:
                looked = time.monotonic()
                if (answer := self._patient(lambda: self._table.answer(key))) is not None:
                    return answer
        raise NoAnswer(
            f"no control plane answered within {seconds:g} s; the command '{operation}' is kept and will be applied "
            "when 'orchestrator serve' or 'run' looks after the study"
        )

    def _listen(self, key: str) -> str | None:
        try:
            if self._client is not None:
                found = self._client.blpop([redis_keys.answer(key)], timeout=POLL_SECONDS)
                return as_bytes(found[1]).decode() if found else None
        except redis.RedisError:
            pass
        time.sleep(POLL_SECONDS)
        return None


@contextmanager
def open_client(settings: Settings, *, prepare: bool = False) -> Iterator[CommandClient]:
    """Yields a client of the control plane that handles the studies of these settings.

    A command about a study that was found finds all tables, too; ``prepare`` creates those that are missing.
    """
    with closing(Database(storage_url_of(settings))) as database, ExitStack() as stack:
        if prepare:
            database.prepare()
        url = redis_url_of(settings)
        client = stack.enter_context(closing(connect(url))) if url else None
        yield CommandClient(CommandTable(database), client)
