"""The boundary of one study's errors: whether an error is of a server, of this process, or of that study alone."""

from __future__ import annotations

from orchestrator.common.errors import ConsumerGroupMissing, ForeignWrite, NotTheWriter, StudyGone
from tasks.server_errors import unavailable


class Unsettled(Exception):
    """A part of the staged changes is not written; the caller, which builds on them, tries again later."""


_OF_THE_ROUND = (NotTheWriter, ForeignWrite, StudyGone, Unsettled, ConsumerGroupMissing)
"""Errors from which the loop itself goes on."""


def is_of_the_study(error: Exception) -> bool:
    """Whether an error comes from the study that the loop was handling, and from nothing else."""
    return not isinstance(error, _OF_THE_ROUND) and unavailable(error) is None
