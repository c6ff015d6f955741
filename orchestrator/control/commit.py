"""The commit of a round: in one transaction, or study by study, and again until the database takes it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.common.clock import Clock
from orchestrator.common.errors import NotTheWriter
from orchestrator.control.ports import Notifier, ProgressHook, StudyRepository, no_hook
from orchestrator.control.study_boundary import is_of_the_study
from orchestrator.engine.outputs import Batch
from orchestrator.model.changeset import Changes
from orchestrator.model.commands import Command
from orchestrator.model.notifications import DeliveryState
from orchestrator.model.suspension import describe, refusal
from tasks.server_errors import Outage, unavailable

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.2
"""Pause before a server that is away is tried again."""


@dataclass
class Written:
    """The outcome of a commit.

    Attributes:
        seconds: How long it took; ``None`` where there was nothing to do.
        answers: The answers to commands that are written.
        settled: The new states of notifications, by their key.
        refused: The studies whose changes were not written, each with the reason.
    """

    seconds: float | None = None
    answers: dict[Command, str] = field(default_factory=dict)
    settled: dict[str, DeliveryState] = field(default_factory=dict)
    refused: dict[str, Exception] = field(default_factory=dict)


@dataclass(eq=False)
class Committer:
    """Commits rounds while this process is the writer, which it checks once a ``heartbeat`` (seconds) at the least."""

    store: StudyRepository
    notifier: Notifier
    outage: Outage
    clock: Clock
    heartbeat: float
    progress: ProgressHook = no_hook
    # Kept until they are committed: they are told once.
    _settled: dict[str, DeliveryState] = field(default_factory=dict, init=False)
    _check_at: float = field(default=0.0, init=False)

    def commit(self, batches: Mapping[str, Batch], answers: Mapping[Command, str]) -> Written:
        """Writes what there is to write, or looks whether this is still the writer where that is due.

        What cannot be written of one study costs that study alone: the others are written without it.
        """
        changes = {name: batch.changes for name, batch in batches.items()}
        self._settled |= self.notifier.take_settled()
        if not any(changes.values()) and not answers and not self._settled and self.clock.monotonic() < self._check_at:
            return Written()
        begun = self.clock.monotonic()
        try:
            self._write(changes, answers, self._settled)
            written = Written(answers=dict(answers), settled=self._settled)
        except NotTheWriter:
            raise
        except Exception:
            written = self._write_one_by_one(changes, answers)
        self._settled = {}
        done = self.clock.monotonic()
        self._check_at = done + self.heartbeat
        written.seconds = done - begun
        return written

    def _write_one_by_one(self, changes: Mapping[str, Changes], answers: Mapping[Command, str]) -> Written:
        """Finds what cannot be written. Each study is a transaction of its own, with the answers to its commands."""
        # A database that does not even take the lease's renewal refuses this process, and no study.
        self._write({}, {}, {})
        written = Written()
        left = dict(answers)
        for name, each in changes.items():
            if not each:
                continue
            own = {command: left.pop(command) for command in answers if command.study == name}
            try:
                self._write({name: each}, own, {})
                written.answers |= own
            except NotTheWriter:
                raise
            except Exception as error:
                written.refused[name] = error
                if is_of_the_study(error):
                    left |= dict.fromkeys(own, json.dumps({"error": str(refusal(name, describe(error)))}))
        for command, text in left.items():
            try:
                self._write({}, {command: text}, {})
                written.answers[command] = text
            except NotTheWriter:
                raise
            except Exception as error:
                log.error("command %s cannot be answered: %s", command.id, describe(error))
        for key, state in self._settled.items():
            try:
                self._write({}, {}, {key: state})
                written.settled[key] = state
            except NotTheWriter:
                raise
            except Exception as error:
                log.error("the state of notification %s cannot be written: %s", key, describe(error))
        return written

    def _write(
        self, changes: Mapping[str, Changes], answers: Mapping[Command, str], settled: Mapping[str, DeliveryState]
    ) -> None:
        while True:
            try:
                self.store.commit(changes, {command.id: text for command, text in answers.items()}, settled)
                self.outage.end()
                return
            except Exception as error:
                found = unavailable(error)
                if found is None or found.server != "database":
                    raise
                self.outage.begin(found)
                self.progress()
                self.clock.sleep(RETRY_SECONDS)
