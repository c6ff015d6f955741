"""The key ``lookahead``: how many trials are sampled ahead."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo

from orchestrator.common.field_types import check_auto_or_count, kind
from orchestrator.common.table import is_stored

LARGEST_LOOKAHEAD = 1_000
"""The control plane samples all trials that wait in the queue in one round, and other studies wait for it."""


def _lower_stored(value: Any, info: ValidationInfo) -> Any:
    """Lowers what a version without that bound has stored to what can be served."""
    return min(value, LARGEST_LOOKAHEAD) if is_stored(info) and type(value) is int else value


def _check_lookahead(value: Any, info: ValidationInfo) -> Any:
    return check_auto_or_count(_lower_stored(value, info), LARGEST_LOOKAHEAD)


Lookahead = Annotated[
    Any,
    BeforeValidator(_check_lookahead),
    kind(f'`"auto"`, or integer, at least 1, at most {LARGEST_LOOKAHEAD}'),
]
