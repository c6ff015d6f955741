"""What is shown to Prometheus: counts that agree with the rows, within bounds."""

from __future__ import annotations

import logging
from collections import Counter

import pytest
from measured import SEARCH, metrics, objective, samples, searched, standing_of

from orchestrator.control.metrics import MOST_STUDIES, Standing
from orchestrator.control.ports import Round
from orchestrator.model.notifications import DeliveryState
from orchestrator.spec.model import validate
from tasks.contract import Finished, Paused, Released, Stopped
from tasks.keeper.slot import OUTCOMES, SlotTable
from tasks.keeper.slot import Counter as SlotCounter
from tasks.metrics_server import make_registry
from tasks.worker.metrics import make_worker_registry
from tests.simulated.simulation import Simulation


def test_the_counts_are_those_of_the_rows() -> None:
    shown = metrics()
    it = searched(shown)
    found = samples(shown.registry)
    ledger = it.ledger
    ended = Counter(row.state for row in ledger.trials.values())
    assert (ended["COMPLETE"], ended["PRUNED"]) == (
        found["orchestrator_trials_ended_total", "complete"],
        found["orchestrator_trials_ended_total", "pruned"],
    )
    assert sum(ended.values()) == 9
    assert found["orchestrator_trials_ended_total", "failed"] == ended["FAIL"] == 0
    assert found["orchestrator_epochs_total",] == sum(len(row.steps) for row in ledger.trials.values())
    assert found["orchestrator_epochs_redone_total",] == len(ledger.redone)
    prunes = Counter(row.action for row in ledger.decisions.values())
    assert found["orchestrator_decisions_total", "median", "prune"] == prunes["prune"] > 0
    retries = [row for row in ledger.attempts.values() if row.number > 1]
    assert found["orchestrator_retries_total", "lost"] == 1
    assert found["orchestrator_retries_total", "released"] == 1
    assert len(retries) == 2
    latencies = [row.latency for row in ledger.attempts.values() if row.verdict == "pruned" and row.latency]
    assert found["orchestrator_prune_latency_seconds_count",] == len(latencies) > 0
    assert found["orchestrator_prune_latency_seconds_sum",] == pytest.approx(sum(latencies))
    assert found["orchestrator_events_dropped_total", "duplicate"] == 1
    assert found["orchestrator_events_dropped_total", "gap"] == 0
    assert found["orchestrator_leader",] == 0


def test_a_study_is_shown_until_it_has_ended() -> None:
    shown = metrics()
    it = Simulation(validate(SEARCH, "test"), objective, observer=shown.observe)
    with shown.leading():
        it.start()
        found = samples(shown.registry)
        assert found["orchestrator_studies", "running"] == 1
        assert found["orchestrator_study_budget_trials", "search"] == 9
        assert found["orchestrator_study_trials", "search", "waiting"] == 1
        assert found["orchestrator_redis_up",] == 0
        it.run_to_end()
        shown._look_at = 0.0
        it.round()
        found = samples(shown.registry)
        assert found["orchestrator_studies", "running"] == 0
        assert not [key for key in found if "search" in key]
    # What all control planes share is shown by the leader.
    assert ("orchestrator_redis_up",) not in samples(shown.registry)


def test_the_series_of_many_studies_are_bounded() -> None:
    shown = metrics()
    many = tuple(standing_of(f"study-{count}") for count in range(MOST_STUDIES + 5))
    with shown.leading():
        shown._standing = Standing(many, frozenset({"trials"}), (3, 1))
        found = samples(shown.registry)
    assert found["orchestrator_studies", "running"] == MOST_STUDIES + 5
    assert sum(key[0] == "orchestrator_study_epochs" for key in found) == MOST_STUDIES


def test_a_rule_of_the_users_own_has_no_label_of_its_own() -> None:
    shown = metrics()
    it = Simulation(validate(SEARCH | {"pruner": {"name": "optuna.pruners:MedianPruner", "n_startup_trials": 1}}, "t"))
    rounds: list[Round] = []
    it.observer = rounds.append
    it.start()
    it.run_to_end()
    for each in rounds:
        shown.observe(each)
    assert {key[1] for key in samples(shown.registry) if key[0] == "orchestrator_decisions_total"} <= {"other"}


def test_what_becomes_of_notes_is_counted() -> None:
    shown = metrics()
    states = ("delivered", "owed", "owed", "failed")
    notes = {str(key): DeliveryState(state, 1, "", 0.0) for key, state in enumerate(states)}  # type: ignore[arg-type]
    shown.observe(Round(0, 0.001, {}, notes, list, lambda: (0, 0)))
    found = samples(shown.registry)
    results = ("delivered", "retried", "failed", "superseded")
    assert [found["orchestrator_notes_total", result] for result in results] == [1, 2, 1, 0]


def test_bytes_of_code_are_counted() -> None:
    shown = metrics()
    for size in (5, 0, 7):
        shown.observe(Round(0, None, {}, {}, list, lambda: (0, 0), code_bytes=size))
    assert samples(shown.registry)["orchestrator_code_bytes_total",] == 12


def test_what_keepers_count_is_added_up_and_outlives_them() -> None:
    slots = SlotTable(3)
    slots.set_busy(1, True)
    for slot, outcome in ((0, Finished()), (2, Finished()), (2, Stopped()), (1, Paused(step=1)), (1, Released())):
        slots.counts(slot)[OUTCOMES[type(outcome)]] += 1
    slots.counts(2)[SlotCounter.FAILED] += 1
    for slot, value in ((0, 5), (1, 7), (0, 2)):
        slots.counts(slot)[SlotCounter.SPILLED_BYTES] = value
    slots.counts(0)[SlotCounter.EPOCHS] += 1
    found = samples(make_worker_registry(slots))
    attempts = {key[1]: value for key, value in found.items() if key[0] == "orchestrator_worker_attempts_total"}
    assert attempts == {"finished": 2, "failed": 1, "stopped": 1, "paused": 1, "released": 1}
    assert found["orchestrator_worker_slots", "busy"] == 1
    assert found["orchestrator_worker_slots", "idle"] == 2
    assert found["orchestrator_worker_spilled_bytes",] == 2 + 7
    assert found["orchestrator_worker_epochs_total",] == 1


def test_warnings_are_counted_by_what_they_are_about() -> None:
    registry = make_registry()
    log = logging.getLogger("somewhere")
    log.warning("x", extra={"action": "redis_away"})
    log.error("y")
    log.info("z", extra={"action": "leading"})
    lines = {key[1:]: value for key, value in samples(registry).items() if key[0] == "orchestrator_log_lines_total"}
    assert lines == {("warning", "redis_away"): 1, ("error", ""): 1}
