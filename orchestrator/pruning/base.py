"""A pruning rule: it takes in the reports and ends of a study's trials, and decides at each report.

A rule is told each report once, in the order in which it was recorded, and answers at once. It reads no clock, does no
I/O and never looks at a study: everything it knows it was told. So the same events in the same order give the same
decisions, and a rule that is rebuilt from what was recorded goes on as if it had never stopped.

A trial is named by its *number* in the study, not by a storage's row id: Hyperband deals trials to brackets by number.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

Outcome = Literal["COMPLETE", "PRUNED", "FAIL"]
Direction = Literal["minimize", "maximize"]


class RuleFailed(ValueError):
    """A rule that runs foreign code raised; the message is one line."""


class Decision(msgspec.Struct, frozen=True, gc=False):
    """One answer of a rule, with the comparison that led to it.

    A struct of msgspec, because one is made at every epoch of every trial, and a frozen dataclass takes longer to make
    than most rules take to decide.

    Attributes:
        prune: Whether the trial should end here.
        rule: Name of the rule that decided.
        step: The largest step that the trial has reported so far, also when the report that led to the decision came
            late and was of a smaller one.
        value: What was compared: the best value so far (median, percentile), the best of the last ``patience + 1``
            reports (patient), the value at ``step`` (all others). NaN where there is none.
        threshold: What ``value`` was compared with; never NaN. None when nothing was compared: it was too early for
            the rule, there were no other trials, the value is NaN and pruned for that alone, or a percentile is NaN.
        peers: Number of values behind the threshold. Median, percentile: values of completed trials at ``step``,
            without NaN. Asha, hyperband: values in the rung, the trial's own included. Patient: the trial's own earlier
            reports. 0 where nothing was looked at.
    """

    prune: bool
    rule: str
    step: int
    value: float
    threshold: float | None
    peers: int


@dataclass(slots=True)
class Progress:
    """The two largest steps of a trial (-1: none yet) and the value at the largest.

    Reports may come late: rules look at the largest step, not at the one reported last.
    """

    last: int = -1
    previous: int = -1
    value: float = math.nan

    def add(self, step: int, value: float) -> None:
        if step > self.last:
            self.previous, self.last, self.value = self.last, step, value
        elif step > self.previous:
            self.previous = step


def due(progress: Progress, n_warmup_steps: int, interval_steps: int) -> bool:
    """Whether the trial's last step is its first one in the current interval.

    Intervals start at ``n_warmup_steps``. A check that falls into a gap of the steps is made at the next report.
    """
    since = progress.last - n_warmup_steps
    if since < 0:
        return False
    return progress.previous < progress.last - since % interval_steps


class RuleBase(ABC):
    """A rule in two halves: ``record`` takes in a report, ``judge`` decides on what was taken in.

    They are apart because deciding may leave a trace (asha enters the trial into a rung), and a rule around another one
    asks it only now and then, yet must tell it every report.

    The caller guarantees that each (trial, step) is observed once, that ``finish`` is called once a trial, and that no
    report of a trial is observed after it.

    Args:
        name: The rule's name, for its decisions.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def observe(self, trial: int, step: int, value: float) -> Decision:
        """Takes in one report and decides."""
        self.record(trial, step, value)
        return self.judge(trial)

    @abstractmethod
    def record(self, trial: int, step: int, value: float) -> None:
        """Takes in one report."""

    @abstractmethod
    def judge(self, trial: int) -> Decision:
        """Decides on a running trial that has reported; called at most once a report."""

    def result(self, trial: int, value: float) -> None:  # noqa: B027
        """Takes in the final value of a trial, before its ``finish`` or ``restore`` as complete.

        Only a rule that runs a pruner of Optuna's kind on a study of its own uses it. Without it such a rule takes the
        last report for the final value.
        """

    @abstractmethod
    def finish(self, trial: int, state: Outcome) -> None:
        """Takes in the end of a trial, whether or not it ever reported."""

    def attributes(self, trial: int) -> dict[str, Any]:  # noqa: ARG002
        """Returns the system attributes to store with the trial, in the transaction that records its reports.

        Complete at any time, also after the trial's end: the caller asks once a batch and stores what is new.
        """
        return {}

    def study_attributes(self) -> dict[str, Any]:
        """Returns the system attributes to store with the study: what was settled once for all trials."""
        return {}

    def restore_study(self, attributes: Mapping[str, Any]) -> None:  # noqa: B027
        """Takes back ``study_attributes`` from the study's system attributes; before ``restore``."""

    def adopt(self, trial: int, attributes: Mapping[str, Any]) -> None:  # noqa: B027
        """Takes back ``attributes(trial)``, after the trial's values and before its end."""

    def restore(
        self, trial: int, values: Mapping[int, float], state: Outcome | None, attributes: Mapping[str, Any]
    ) -> None:
        """Takes in a recorded trial without deciding.

        Args:
            trial: Its number. Trials may be restored in any order.
            values: Value by step, in the order in which they were recorded.
            state: How it ended; None while it runs.
            attributes: Its system attributes; the rule ignores those that are not its own.
        """
        for step, value in values.items():
            self.record(trial, step, value)
        self.adopt(trial, attributes)
        if state is not None:
            self.finish(trial, state)
