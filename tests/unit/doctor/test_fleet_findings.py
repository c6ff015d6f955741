"""Workers as they are put together from what was heard and what the database says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from doctor_facts import IDLE, RUNNING, SIGN, WELL

from orchestrator.common.errors import BadInput
from orchestrator.doctor.facts import Worker, Workers
from orchestrator.doctor.fleet import _find, assemble
from orchestrator.doctor.table_facts import TableFacts

BEFORE = TableFacts(attempts=(RUNNING,))
NEXT = replace(RUNNING, token="token-9", trial=9)


def test_a_slot_shows_the_trial_that_it_has_now() -> None:
    heard = Workers(
        workers=WELL.workers.workers, signs=(SIGN, IDLE, replace(SIGN, token="token-9")), heard={SIGN.slot: 0.5}
    )
    (worker,) = assemble(heard, BEFORE, TableFacts(attempts=(NEXT,)))
    assert (worker.name, worker.state, worker.capacity, worker.heard) == ("w@host", "ready", 2, 0.5)
    assert [(slot.study, slot.trial, slot.busy) for slot in worker.slots] == [("search", 9, True), ("", None, False)]


def test_a_trial_that_has_ended_while_it_was_listened_counts_where_there_is_no_other() -> None:
    (worker,) = assemble(Workers(signs=(SIGN,)), BEFORE, TableFacts())
    assert [(slot.study, slot.trial, slot.busy) for slot in worker.slots] == [("search", 0, True)]
    assert worker.state == "silent", "its main process has not answered"


def test_a_slot_that_is_not_heard_is_known_from_the_database() -> None:
    (worker,) = assemble(Workers(), BEFORE, BEFORE)
    assert [(slot.name, slot.trial, slot.heard) for slot in worker.slots] == [("w@host/0", 0, None)]


def test_a_worker_is_ready_in_trouble_or_draining() -> None:
    for worker, sign, state in (
        (Worker("w@host", 1, ("gpu",)), IDLE, "ready"),
        (Worker("w@host", 1, ("gpu",)), replace(IDLE, trouble="no room"), "in trouble"),
        (Worker("w@host", 1, ("gpu",), draining=True), IDLE, "draining"),
    ):
        (found,) = assemble(Workers(workers=(worker,), signs=(sign,)), BEFORE, TableFacts())
        assert (found.state, found.queues) == (state, ("gpu", "trials"))


def test_a_worker_whose_name_begins_like_that_of_a_run_is_none() -> None:
    known = ["run-gpu@host", "run-12@host", "run-12-34@host"]
    assert _find("run-gpu", known) == "run-gpu@host"
    for name in ("run-12", "run-12-34"):
        with pytest.raises(BadInput, match="belongs to a `run`"):
            _find(name, known)
