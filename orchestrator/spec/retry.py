"""The table [retry]: how many attempts a trial may have, by what ended the last one."""

from __future__ import annotations

from typing import Final

from orchestrator.common.field_types import Count
from orchestrator.common.table import Table
from tasks.contract import FailureCause

_OF_THE_ATTEMPT: Final = ("died", "lost", "out_of_memory", "stalled")
"""Causes that another attempt may avoid."""


class RetryTable(Table):
    """How often a trial is attempted.

    A trial is attempted again when its process, its worker or its memory failed. An error of the objective itself fails
    the trial at once, as in Optuna. A number under the name of a cause holds for it in place of
    ``max_attempts``, or of that one attempt. All attempts count, except those that a worker handed back when it shut
    down.

    Attributes:
        max_attempts: Attempts of a trial that died, was lost, stalled, or ran out of memory.
        died: Its process was ended by a signal, or has ended itself.
        lost: Its worker or host sent no heartbeat for a lease.
        out_of_memory: Memory of the GPU or of the process ran out.
        stalled: It reached ``stall_timeout``.
        exception: The objective raised, or the program ended with an exit code other than 0; 1 where it is not set.
        nan: The objective returned NaN; 1 where it is not set.
        value: The objective returned something that is not a value, or a wrong number of values; 1 where it is not set.

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
        """Returns the number of attempts after which a trial fails whose last one ended for ``cause``."""
        given: int | None = getattr(self, cause, None)
        if given is not None:
            return given
        return self.max_attempts if cause in _OF_THE_ATTEMPT else 1
