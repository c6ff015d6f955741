"""The rank of a paused trial at its rung, by the study's own rule rebuilt from stored reports."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, cast

from orchestrator.model.records import Recording
from orchestrator.pruning import Decision, Outcome
from orchestrator.pruning.pausing import PausingRule
from orchestrator.sampling import rules
from orchestrator.spec import Spec

_ENDED = ("COMPLETE", "PRUNED", "FAIL")


def standing(
    recording: Recording,
    settled: Mapping[str, Any],
    attributes: Mapping[int, Mapping[str, Any]],
    paused: Set[int],
    trial: int,
) -> Decision | None:
    """Returns the decision that the trial would end with now; None where the study's rule does not promote.

    Args:
        recording: Of the study.
        settled: The study's attributes that the rule has settled.
        attributes: The rule's own attributes, by trial.
        paused: All trials that are paused.
        trial: The one asked about.
    """
    spec = Spec.from_json(recording.study.spec)
    rule = rules.of_spec(spec, spec.pruner)
    if not isinstance(rule, PausingRule):
        return None
    rule.restore_study(settled)
    values: dict[int, dict[int, float]] = {number: {} for number in recording.trials}
    for number, step, value in recording.reports:
        values[number][step] = value
    for number, found in sorted(recording.trials.items()):
        outcome = cast(Outcome, found.state) if found.state in _ENDED else None
        rule.restore(number, values[number], outcome, attributes.get(number, {}))
        if number in paused:
            rule.pause(number)
    return rule.standing(trial)
