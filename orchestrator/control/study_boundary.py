"""The boundary of one study's errors: whether an error is of a server, of this process, or of that study alone."""

from __future__ import annotations

from orchestrator.common.errors import ConsumerGroupMissing, ForeignWrite, NotTheWriter, StudyGone
from tasks.server_errors import unavailable


class Unsettled(Exception):
    """Not all of what was staged is written; what was to be based on it is done anew, later."""


_OF_THE_ROUND = (NotTheWriter, ForeignWrite, StudyGone, Unsettled, ConsumerGroupMissing)
"""Errors from which the loop itself goes on."""


def is_of_the_study(error: Exception) -> bool:
    """Whether an error is to be put down to the study for which something was done, and to nothing else."""
    return not isinstance(error, _OF_THE_ROUND) and unavailable(error) is None
