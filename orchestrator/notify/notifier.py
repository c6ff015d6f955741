"""Delivers notifications beside the loop, and repeats each until it is delivered or given up."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, Literal

from orchestrator.model.notifications import DeliveryState, PendingNotification
from orchestrator.notify.command import CommandRunner
from orchestrator.notify.delay_queue import DelayQueue
from orchestrator.notify.policy import Policy
from orchestrator.notify.webhook import DeliveryAttempt, post
from orchestrator.spec import Spec

log = logging.getLogger(__name__)

GIVE_UP_SECONDS: Final = 86_400.0
"""Age at which a notification is given up."""

LONGEST_PAUSE: Final = 900.0

BEST_SECONDS: Final = 5.0
"""Shortest time between two notifications of a better trial; of those that come meanwhile only the last is sent."""

CLOSE_SECONDS: Final = 2.0
"""Time that deliveries under way have at the end."""


class Notifier:
    """Delivers notifications that the control plane has committed.

    It touches no database: the loop takes the outcome of each delivery and commits it. An outcome that is lost on that
    way leads to a second delivery.

    Args:
        policy: What specs may ask for.
        environ: The environment of the control plane; commands get a part of it.
    """

    def __init__(self, policy: Policy, environ: Mapping[str, str]) -> None:
        self._policy = policy
        self._runner = CommandRunner(environ)
        self._lock = threading.Lock()
        self._settled: dict[str, DeliveryState] = {}
        self._newest: dict[str, str] = {}
        self._best_told: dict[str, float] = {}
        # Two queues, so that a command that takes minutes delays no webhook.
        self._posts = DelayQueue("posts", 3, self._post)
        self._commands = DelayQueue("commands", 2, self._run)

    def check(self, spec: Spec) -> None:
        """Checks that the notifications that the spec asks for are allowed.

        Raises:
            BadInput: they are not.
        """
        self._policy.check(spec)

    def owe(self, notes: Iterable[PendingNotification]) -> None:
        """Takes notifications that are committed, and returns at once."""
        for owed in notes:
            if owed.note.kind == "command":
                self._commands.add(owed)
                continue
            with self._lock:
                self._newest[owed.study] = owed.note.key
                told = self._best_told.get(owed.study, -math.inf)
            # Every later notification names the best trial, too.
            for waiting in self._posts.take_out(owed.study, "best"):
                self._supersede(waiting)
            self._posts.add(owed, told + BEST_SECONDS if owed.note.event == "best" else 0.0)

    def take_settled(self) -> dict[str, DeliveryState]:
        """Returns the outcomes of deliveries since the last call, by the key of the notification."""
        with self._lock:
            settled, self._settled = self._settled, {}
        return settled

    def close(self) -> None:
        """Ends; deliveries under way have a moment. The next control plane delivers what is still owed."""
        self._posts.stop()
        self._commands.stop()
        self._runner.close()
        until = time.monotonic() + CLOSE_SECONDS
        self._posts.join(until)
        self._commands.join(until)

    def _post(self, owed: PendingNotification) -> None:
        note = owed.note
        if note.event == "best":
            with self._lock:
                self._best_told[owed.study] = time.monotonic()
        url = self._policy.url(owed.notify)
        if url is None:
            tried = DeliveryAttempt(False, False, f"there is no endpoint '{owed.notify.endpoint}'")
        else:
            headers = {"X-Orchestrator-Event": note.event, "X-Orchestrator-Delivery": note.key}
            tried = post(url, note.body.encode(), headers, self._policy.key)
        self._take_in(self._posts, owed, tried)

    def _run(self, owed: PendingNotification) -> None:
        refused = DeliveryAttempt(False, False, "this control plane runs no commands of specs")
        self._take_in(self._commands, owed, self._runner.run(owed) if self._policy.runs(owed.study) else refused)

    def _take_in(self, queue: DelayQueue, owed: PendingNotification, tried: DeliveryAttempt) -> None:
        """Records a delivery attempt; a failed one that may succeed later is repeated after a pause."""
        with self._lock:
            newest = self._newest.get(owed.study)
        if not tried.done and owed.note.event == "best" and newest != owed.note.key:
            self._supersede(owed)
            return
        now, tries = time.time(), owed.tries + 1
        pause = min(LONGEST_PAUSE, 2.0 ** min(owed.tries, 20))
        again = not tried.done and tried.again and now + pause < owed.note.at + GIVE_UP_SECONDS
        how: Literal["delivered", "owed", "failed"] = "delivered" if tried.done else "owed" if again else "failed"
        self._settle(owed.note.key, DeliveryState(how, tries, tried.detail, now))
        if again:
            queue.add(replace(owed, tries=tries), time.monotonic() + pause)
        if not tried.done and (tries == 1 or not again):
            what = f"a {owed.note.kind} of '{owed.note.event}'"
            outcome = "is tried again" if again else f"is given up after {tries} tries"
            about = {"action": "note_waits" if again else "note_failed", "study": owed.study}
            log.warning("study %s: %s %s: %s", owed.study, what, outcome, tried.detail, extra=about)

    def _supersede(self, owed: PendingNotification) -> None:
        self._settle(
            owed.note.key, DeliveryState("superseded", owed.tries, "a later notification says more", time.time())
        )

    def _settle(self, key: str, state: DeliveryState) -> None:
        with self._lock:
            self._settled[key] = state
