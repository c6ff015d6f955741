"""The rule of a study that promotes trials, rebuilt from what is stored: who stands where, and who goes on next."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from typing import Any, cast

from sqlalchemy import Connection, func, or_, select

from orchestrator.model.attribute_keys import EXTRA
from orchestrator.model.lifecycle import AttemptState
from orchestrator.model.records import Recording
from orchestrator.pruning import Outcome
from orchestrator.pruning.pausing import PausingRule
from orchestrator.sampling import rules
from orchestrator.spec import Spec
from orchestrator.storage import own_tables
from orchestrator.storage.optuna_tables import STUDY_SYSTEM_ATTRS, SYSTEM_ATTRS, TRIALS

_ENDED = ("COMPLETE", "PRUNED", "FAIL")


def rebuilt(
    recording: Recording,
    settled: Mapping[str, Any],
    attributes: Mapping[int, Mapping[str, Any]],
    paused: Set[int],
    budget: int,
) -> PausingRule | None:
    """Returns the rule as it is now; None where the study's rule does not promote.

    Args:
        recording: Of the study.
        settled: The study's attributes that the rule has settled.
        attributes: The rule's own attributes, by trial.
        paused: All trials that are paused.
        budget: Number of trials that the study is to have.
    """
    spec = Spec.from_json(recording.study.spec)
    rule = rules.of_spec(spec, spec.pruner)
    if not isinstance(rule, PausingRule):
        return None
    rule.restore_study(settled)
    more = len(recording.trials) < budget
    rule.expect_new(more)
    if rule.table is not None:
        rule.table = budget if more else len(recording.trials)
    values: dict[int, dict[int, float]] = {number: {} for number in recording.trials}
    for number, step, value in recording.reports:
        values[number][step] = value
    for number, found in sorted(recording.trials.items()):
        outcome = cast(Outcome, found.state) if found.state in _ENDED else None
        if found.state == "RUNNING":
            rule.start(number)
        rule.restore(number, values[number], outcome, attributes.get(number, {}))
        if number in paused:
            rule.pause(number)
    return rule


def read_rule(connection: Connection, study_id: int, recording: Recording) -> PausingRule | None:
    """Reads what a rule has stored of a study and its trials; returns the rule as ``rebuilt`` does."""
    attributes = (
        select(TRIALS.c.number, SYSTEM_ATTRS.c.key, SYSTEM_ATTRS.c.value_json)
        .join(TRIALS, TRIALS.c.trial_id == SYSTEM_ATTRS.c.trial_id)
        .where(TRIALS.c.study_id == study_id, _is_of_a_rule(SYSTEM_ATTRS.c.key))
    )
    settled = select(STUDY_SYSTEM_ATTRS.c.key, STUDY_SYSTEM_ATTRS.c.value_json).where(
        STUDY_SYSTEM_ATTRS.c.study_id == study_id, _is_of_a_rule(STUDY_SYSTEM_ATTRS.c.key)
    )
    kept: dict[int, dict[str, Any]] = {}
    for row in connection.execute(attributes):
        kept.setdefault(row.number, {})[row.key] = json.loads(row.value_json)
    attempts = own_tables.attempts.c
    paused = select(attempts.trial).where(attempts.study_id == study_id, attempts.state == AttemptState.PAUSED)
    extra = (
        select(func.count())
        .select_from(TRIALS)
        .join(SYSTEM_ATTRS, SYSTEM_ATTRS.c.trial_id == TRIALS.c.trial_id)
        .where(TRIALS.c.study_id == study_id, SYSTEM_ATTRS.c.key == EXTRA)
    )
    return rebuilt(
        recording,
        {row.key: json.loads(row.value_json) for row in connection.execute(settled)},
        kept,
        set(connection.scalars(paused)),
        (connection.scalar(extra) or 0) + Spec.from_json(recording.study.spec).trials,
    )


def _is_of_a_rule(key: Any) -> Any:
    """Returns the condition that an attribute was kept by a rule that pauses trials."""
    return or_(key.like("asha:%"), key.like("index:%"))
