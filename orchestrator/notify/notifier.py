"""Delivers notes beside the loop: each as soon as it is due, again and again, until it is taken or given up."""

from __future__ import annotations

import functools
import logging
import math
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from orchestrator.model.notifications import DeliveryState, PendingNotification
from orchestrator.notify.command import Runner
from orchestrator.notify.delay_queue import Line
from orchestrator.notify.policy import Policy
from orchestrator.notify.webhook import Tried, post
from orchestrator.spec import Spec

log = logging.getLogger(__name__)

GIVE_UP_SECONDS: Final = 86_400.0
"""How long a note is worth telling."""

LONGEST_PAUSE: Final = 900.0

BEST_SECONDS: Final = 5.0
"""Between two notes of better trials of one study; what comes meanwhile stands for what waits."""

CLOSE_SECONDS: Final = 2.0
"""How long a delivery that is under way is waited for at the end."""


class Notifier:
    """Delivers what the control plane has committed.

    It touches no database: what has become of a note is handed to the loop, which commits it. Whatever is lost on that
    way is told a second time.

    Args:
        policy: What may be told.
        environ: The environment that commands get some of.
    """

    def __init__(self, policy: Policy, environ: Mapping[str, str]) -> None:
        self._policy = policy
        self._runner = Runner(environ)
        self._lock = threading.Lock()
        self._settled: dict[str, DeliveryState] = {}
        self._newest: dict[str, str] = {}
        self._best_told: dict[str, float] = {}
        # Apart, so that a command that takes minutes holds up no post.
        self._posts = Line("posts", 3, self._post)
        self._commands = Line("commands", 2, self._run)

    def check(self, spec: Spec) -> None:
        """Finds out whether those whom the spec names could be told.

        Raises:
            BadInput: they could not.
        """
        self._policy.check(spec)

    def owe(self, notes: Iterable[PendingNotification]) -> None:
        """Takes notes that are committed, and returns at once."""
        for owed in notes:
            if owed.note.kind == "command":
                self._commands.add(owed)
                continue
            with self._lock:
                self._newest[owed.study] = owed.note.key
                told = self._best_told.get(owed.study, -math.inf)
            # Whatever comes later names the best trial, too.
            for waiting in self._posts.take_out(functools.partial(_is_best_of, owed.study)):
                self._supersede(waiting)
            self._posts.add(owed, told + BEST_SECONDS if owed.note.event == "best" else 0.0)

    def take_settled(self) -> dict[str, DeliveryState]:
        """Returns what has become of notes since the last call, by their key."""
        with self._lock:
            settled, self._settled = self._settled, {}
        return settled

    def close(self) -> None:
        """Ends. What is under way is given a moment; what is still owed stays so, for whoever leads next."""
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
            tried = Tried(False, False, f"there is no endpoint '{owed.notify.endpoint}'")
        else:
            headers = {"X-Orchestrator-Event": note.event, "X-Orchestrator-Delivery": note.key}
            tried = post(url, note.body.encode(), headers, self._policy.key)
        self._take_in(self._posts, owed, tried)

    def _run(self, owed: PendingNotification) -> None:
        refused = Tried(False, False, "this control plane runs no commands of specs")
        self._take_in(self._commands, owed, self._runner.run(owed) if self._policy.runs(owed.study) else refused)

    def _take_in(self, line: Line, owed: PendingNotification, tried: Tried) -> None:
        """Settles a note that was taken, or that is given up; any other one is tried again later."""
        with self._lock:
            newest = self._newest.get(owed.study)
        if not tried.done and owed.note.event == "best" and newest != owed.note.key:
            self._supersede(owed)
            return
        now, tries = time.time(), owed.tries + 1
        pause = min(LONGEST_PAUSE, 2.0 ** min(owed.tries, 20))
        again = not tried.done and tried.again and now + pause < owed.note.at + GIVE_UP_SECONDS
        if tried.done:
            state = DeliveryState("delivered", tries, tried.detail, now)
        elif again:
            state = DeliveryState("owed", tries, tried.detail, now)
        else:
            state = DeliveryState("failed", tries, tried.detail, now)
        self._settle(owed.note.key, state)
        if again:
            line.add(replace(owed, tries=tries), time.monotonic() + pause)
        if not tried.done and (tries == 1 or not again):
            what = f"a {owed.note.kind} of '{owed.note.event}'"
            how = "is tried again" if again else f"is given up after {tries} tries"
            about = {"action": "note_waits" if again else "note_failed", "study": owed.study}
            log.warning("study %s: %s %s: %s", owed.study, what, how, tried.detail, extra=about)

    def _supersede(self, owed: PendingNotification) -> None:
        self._settle(owed.note.key, DeliveryState("superseded", owed.tries, "a later note says more", time.time()))

    def _settle(self, key: str, state: DeliveryState) -> None:
        with self._lock:
            self._settled[key] = state


def _is_best_of(study: str, owed: PendingNotification) -> bool:
    return owed.study == study and owed.note.event == "best"
