"""[retry]: how many attempts a trial may have, by what ended the last one."""

from __future__ import annotations

from typing import Final

from orchestrator.spec.table import Table
from orchestrator.spec.values import Count
from tasks.contract import FailureCause

_OF_THE_ATTEMPT: Final = ("died", "lost", "out_of_memory", "stalled")
"""Causes that another attempt may well not meet."""


class RetryTable(Table):
    """How often a trial is attempted.

    ``max_attempts`` holds for what befalls an attempt: its process or its host dies, memory runs out, nothing is
    reported any more. What the objective itself has done fails the trial at once, as in Optuna. A number under the name
    of a cause takes the place of both. An attempt that was handed back by a worker that shut down is not counted.
    """

    max_attempts: Count = 3
    died: Count | None = None
    lost: Count | None = None
    out_of_memory: Count | None = None
    stalled: Count | None = None
    exception: Count | None = None
    nan: Count | None = None
    value: Count | None = None

    def attempts(self, cause: FailureCause) -> int:
        """Returns after how many attempts a trial fails when its last one ended for ``cause``."""
        given: int | None = getattr(self, cause, None)
        if given is not None:
            return given
        return self.max_attempts if cause in _OF_THE_ATTEMPT else 1
