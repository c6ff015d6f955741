"""Metrics of a worker for Prometheus: the counters of its keepers, read at each request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tasks.keeper.slot import OUTCOMES, Counter, SlotTable
from tasks.metrics_server import make_registry

_COUNTERS: Final = (
    ("epochs", Counter.EPOCHS, "Epochs that trainers have reported."),
    ("trainer_replacements", Counter.REPLACEMENTS, "Trainers that had to be replaced by a new process."),
)
_GAUGES: Final = (
    ("unconfirmed_events", Counter.UNCONFIRMED, "Events that are not known to be committed, as of the last heartbeat."),
    ("spilled_bytes", Counter.SPILLED_BYTES, "Bytes of these on disk, as of the last heartbeat."),
    ("slots_cut_off", Counter.CUT_OFF, "Slots that could not reach Redis at their last heartbeat."),
)


class WorkerCollector(Collector):
    """Reads the shared memory of a worker's processes.

    Args:
        slots: The table of the slots.
    """

    def __init__(self, slots: SlotTable) -> None:
        self._slots = slots

    def collect(self) -> Iterator[Metric]:
        """Yields every counter, summed over the slots."""
        slots = GaugeMetricFamily("orchestrator_worker_slots", "Slots of this worker.", labels=["state"])
        busy = self._slots.busy()
        slots.add_metric(["busy"], busy)
        slots.add_metric(["idle"], self._slots.count - busy)
        yield slots
        attempts = CounterMetricFamily(
            "orchestrator_worker_attempts", "Attempts of trials that have ended here.", labels=["outcome"]
        )
        for kind, figure in OUTCOMES.items():
            attempts.add_metric([kind.__name__.lower()], self._slots.total(figure))
        yield attempts
        for name, figure, words in _COUNTERS:
            yield CounterMetricFamily(f"orchestrator_worker_{name}", words, value=self._slots.total(figure))
        for name, figure, words in _GAUGES:
            yield GaugeMetricFamily(f"orchestrator_worker_{name}", words, value=self._slots.total(figure))


def make_worker_registry(slots: SlotTable) -> CollectorRegistry:
    """Returns the metrics of a worker."""
    registry = make_registry()
    registry.register(WorkerCollector(slots))
    return registry
