"""The control plane's metrics for Prometheus: what its loop has done, where its studies stand, what waits in Redis."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import logging
import math
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, get_args

import redis
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from orchestrator.control.ports import Round, RoundHook
from orchestrator.messaging.dispatch import queue_lengths
from orchestrator.messaging.event_stream import Backlog, backlog
from orchestrator.model.progress_events import Progress
from orchestrator.pruning.registry import names
from tasks.contract import FailureCause
from tasks.metrics_server import make_registry

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""Seconds that what is shown of studies, slots and Redis may be old."""

MOST_STUDIES: Final = 200
"""Studies that are shown one by one; the others are in the sums."""

_LATENCIES: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_GAPS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)
_COMMITS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_BATCHES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000)
_STATES: Final = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


@dataclass(frozen=True)
class Standing:
    """The studies at hand, the number of slots that are busy and idle, and that of suspended studies."""

    studies: tuple[Progress, ...] = ()
    queues: frozenset[str] = frozenset()
    slots: tuple[int, int] = (0, 0)
    suspended: int = 0


class ControlMetrics(Collector):
    """Everything that a control plane shows; one that stands by shows that it does.

    The loop calls ``observe``, a scrape reads ``registry``; they meet in single values only. What is not counted but
    looked up, ``collect`` shows.

    Args:
        client: Redis, for this alone.
    """

    def __init__(self, client: redis.Redis) -> None:
        self.registry = registry = make_registry()
        self._client = client
        self._lock = threading.Lock()
        self._waiting: tuple[Backlog, dict[str, int]] | None = None
        self._ask_at = 0.0
        self._standing: Standing | None = None
        self._look_at = 0.0

        def counter(name: str, words: str, label: str, values: Iterable[str]) -> Counter:
            """Returns a counter that shows each value of its label from the start."""
            made = Counter(name, words, [label], registry=registry)
            for value in values:
                made.labels(value)
            return made

        histogram = functools.partial(Histogram, registry=registry)
        self._leader = Gauge("orchestrator_leader", "Whether this control plane is the active one.", registry=registry)
        build = Gauge("orchestrator_build_info", "The version that runs.", ["version"], registry=registry)
        build.labels(_version()).set(1)
        ended = counter("orchestrator_trials_ended", "Trials that have ended.", "state", _STATES.values())
        # Found once: a label costs more to find than to count.
        self._ended_as = {state: ended.labels(label) for state, label in _STATES.items()}
        self._epochs = Counter("orchestrator_epochs", "Epochs that were recorded.", registry=registry)
        self._redone = Counter(
            "orchestrator_epochs_redone", "Epochs that were trained again after a loss.", registry=registry
        )
        decisions = Counter(
            "orchestrator_decisions", "Decisions of pruning rules.", ["rule", "action"], registry=registry
        )
        self._decision = functools.cache(
            lambda rule, action: decisions.labels(rule if rule in names() else "other", action)
        )
        causes = (*get_args(FailureCause), "released")
        self._retries = counter("orchestrator_retries", "Further attempts of trials.", "cause", causes)
        self._events = Counter("orchestrator_events", "Entries of the stream that were read.", registry=registry)
        reasons = ("stale", "duplicate", "gap", "late", "unexpected", "unreadable")
        self._dropped = counter("orchestrator_events_dropped", "Events that were not recorded.", "reason", reasons)
        self._code = Counter(
            "orchestrator_code_bytes", "Bytes of code bundles that were put into Redis for workers.", registry=registry
        )
        results = ("delivered", "retried", "failed", "superseded")
        self._notes = counter("orchestrator_notes", "Attempts to deliver notifications.", "result", results)
        self._latency = histogram(
            "orchestrator_prune_latency_seconds",
            "From the report that a trial is pruned for until its training code has stopped.",
            buckets=_LATENCIES,
        )
        self._gap = histogram(
            "orchestrator_slot_gap_seconds", "How long a slot was idle between two attempts.", buckets=_GAPS
        )
        self._commit = histogram("orchestrator_commit_duration_seconds", "Commits of the loop.", buckets=_COMMITS)
        self._batch = histogram(
            "orchestrator_commit_events", "Entries of the stream that one commit has recorded.", buckets=_BATCHES
        )
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yields where studies and slots stand, and of the active control plane what waits in Redis.

        A study that has ended is not shown any more. What all control planes share is shown by one. A scrape asks Redis
        for it, but not more than once in ``LOOK_SECONDS``.
        """
        standing = self._standing
        yield from _families(standing or Standing())
        if standing is None:
            return
        with self._lock:
            if (now := time.monotonic()) >= self._ask_at:
                self._ask_at = now + LOOK_SECONDS
                try:
                    self._waiting = backlog(self._client), queue_lengths(self._client, standing.queues)
                except redis.RedisError as error:
                    log.debug("redis was not asked: %s", error)
                    self._waiting = None
            waiting = self._waiting
        yield from _waiting_families(waiting)

    @contextlib.contextmanager
    def leading(self) -> Iterator[RoundHook]:
        """This control plane is the active one meanwhile; yields what its loop tells its rounds."""
        self._standing, self._look_at = Standing(), 0.0
        self._leader.set(1)
        try:
            yield self.observe
        finally:
            self._leader.set(0)
            self._standing = None

    def observe(self, round: Round) -> None:
        """Takes in a round of the loop."""
        if round.events:
            self._events.inc(round.events)
        if round.code_bytes:
            self._code.inc(round.code_bytes)
        if round.commit_seconds is not None:
            self._commit.observe(round.commit_seconds)
            if round.events:
                self._batch.observe(round.events)
            self._count(round)
            for note in round.notes.values():
                self._notes.labels("retried" if note.state == "owed" else note.state).inc()
        if (now := time.monotonic()) >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            studies = round.studies()
            self._standing = Standing(
                tuple(progress for progress, _ in studies),
                frozenset(queue for _, queue in studies),
                round.slots(),
                round.suspended,
            )

    def _count(self, round: Round) -> None:
        for batch in round.batches.values():
            changes, figures = batch.changes, batch.figures
            if changes.values:
                self._epochs.inc(len(changes.values))
            if changes.redone:
                self._redone.inc(len(changes.redone))
            for end in changes.ends.values():
                self._ended_as[end.state].inc()
            for row in changes.decisions:
                self._decision(row.rule, row.action).inc()
            for retry in figures.retries:
                self._retries.labels(retry.cause).inc()
            for seconds in figures.latencies:
                self._latency.observe(seconds)
            for seconds in figures.gaps:
                self._gap.observe(seconds)
            for reason, count in figures.dropped.items():
                self._dropped.labels(reason).inc(count)


def _version() -> str:
    """Returns the version of the installed package; ``unknown`` where the program runs from its sources."""
    try:
        return importlib.metadata.version("trial-orchestrator")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _families(standing: Standing) -> Iterable[Metric]:
    studies = GaugeMetricFamily("orchestrator_studies", "Studies that have not ended.", labels=["state"])
    for state in ("running", "paused", "interrupted", "ending"):
        studies.add_metric([state], sum(each.state == state for each in standing.studies))
    studies.add_metric(["suspended"], standing.suspended)
    slots = GaugeMetricFamily("orchestrator_slots", "Slots that send heartbeats.", labels=["state"])
    for state, count in zip(("busy", "idle"), standing.slots, strict=True):
        slots.add_metric([state], count)
    trials = GaugeMetricFamily("orchestrator_study_trials", "Trials of a study.", labels=["study", "state"])
    budget = GaugeMetricFamily("orchestrator_study_budget_trials", "Trials a study is to have.", labels=["study"])
    epochs = GaugeMetricFamily("orchestrator_study_epochs", "Epochs of a study that are recorded.", labels=["study"])
    best = GaugeMetricFamily("orchestrator_study_best_value", "The best value of a study so far.", labels=["study"])
    for each in standing.studies[:MOST_STUDIES]:
        for state in ("complete", "pruned", "failed", "running", "waiting", "paused"):
            trials.add_metric([each.study, state], getattr(each, state))
        budget.add_metric([each.study], each.budget)
        epochs.add_metric([each.study], each.epochs)
        if each.best is not None and math.isfinite(each.best.value):
            best.add_metric([each.study], each.best.value)
    return studies, slots, trials, budget, epochs, best


def _waiting_families(known: tuple[Backlog, dict[str, int]] | None) -> Iterable[Metric]:
    up = GaugeMetricFamily("orchestrator_redis_up", "Whether Redis answers.", value=float(known is not None))
    entries = GaugeMetricFamily("orchestrator_stream_lag_entries", "Entries of the stream that are not committed.")
    seconds = GaugeMetricFamily("orchestrator_stream_lag_seconds", "The age of the oldest entry that is not committed.")
    dead = GaugeMetricFamily("orchestrator_dead_letters", "Messages that were set aside: neither events nor tasks.")
    queues = GaugeMetricFamily("orchestrator_queue_length", "Tasks that wait for a slot.", labels=["queue"])
    if known is not None:
        entries.add_metric([], known[0].entries)
        seconds.add_metric([], known[0].seconds)
        dead.add_metric([], known[0].dead_letters)
        for queue, length in sorted(known[1].items()):
            queues.add_metric([queue], length)
    return up, entries, seconds, dead, queues
