"""[retry]: how many attempts a trial may have, by what ended the last one."""

from __future__ import annotations

from typing import Final

from orchestrator.common.field_types import Count
from orchestrator.common.table import Table
from tasks.contract import FailureCause

_OF_THE_ATTEMPT: Final = ("died", "lost", "out_of_memory", "stalled")
"""Causes that another attempt may well not meet."""


class RetryTable(Table):
    """How often a trial is attempted.

    What befalls an attempt is tried again; what the objective itself has done fails the trial at once, as in Optuna. A
    number under the name of a cause takes the place of both. Attempts are counted together, whatever ended them, except
    those that were handed back by a worker that shut down.

    Attributes:
        max_attempts: Attempts of a trial that died, was lost, stalled, or ran out of memory.
        died: Its process has ended.
        lost: Its worker or host gave no sign of life for a lease.
        out_of_memory: On the GPU or in Python.
        stalled: It came to ``stall_timeout``.
        exception: The objective raised; 1 where it is not set.
        nan: The objective returned NaN; likewise.
        value: The objective returned what is no value, or a wrong number of them; likewise.

    Example:
        [retry]
        max_attempts = 3
        out_of_memory = 1
        exception = 2
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
