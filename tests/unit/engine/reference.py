"""The plain form of promotion, beside an engine's search: told what was committed, asked what comes next."""

from __future__ import annotations

from typing import Any

from driver import World

from orchestrator.model.changeset import Changes
from orchestrator.pruning import Outcome
from tests.unit.pruning.algorithm2 import Reference

_PAUSED_BEFORE = ("promoted", "not promoted")
"""Ends of an attempt that may have paused in the very same batch."""


def follow(world: World, table: int | None = None) -> Any:
    """Goes through everything that ``world`` has committed, and checks each promotion and each new configuration.

    Args:
        world: A search with promotion; one input a batch.
        table: Size of the table, where the search is synchronous.

    Returns:
        The reference, as it stands at the end.
    """
    spec = world.ledger.spec
    rule = spec.pruner.model_dump()
    reference = Reference(spec.direction, rule["min_resource"], spec.max_steps, rule["reduction_factor"], n=table)
    for batch in world.batches:
        _take_in(reference, batch.changes)
        for row in batch.changes.decisions:
            if row.action == "promote":
                _check(reference, row.trial, row.step)
        for number in sorted(batch.changes.new_trials):
            assert reference.get_job() is None, f"trial {number} is new, and {reference.get_job()} might go on"
            reference.start(number)
    return reference


def _take_in(reference: Any, changes: Changes) -> None:
    for number, step, value in changes.values:
        reference.reports[number][step] = value
    for row in changes.attempts.values():
        if row.trial not in reference.ended and (row.state == "paused" or row.cause in _PAUSED_BEFORE):
            reference.paused.add(row.trial)
    unpromoted = {row.trial for row in changes.decisions if row.action == "end"}
    for number, end in changes.ends.items():
        if number not in unpromoted:
            outcome: Outcome = end.state  # type: ignore[assignment]
            reference.end(number, outcome)


def _check(reference: Any, trial: int, step: int) -> None:
    expected = reference.get_job()
    assert expected is not None, f"trial {trial} is promoted at step {step}, and none should be"
    assert (trial, step) == (expected[0], reference.steps[expected[1] - 1])
    reference.promote(trial)
