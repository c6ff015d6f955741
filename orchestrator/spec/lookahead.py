"""The key ``lookahead``: how many trials are sampled ahead."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo

from orchestrator.common.faults import Fault, got, show
from orchestrator.common.field_types import kind
from orchestrator.common.table import is_stored

LARGEST_LOOKAHEAD = 1_000
"""The control plane samples all trials that wait in the queue in one round, and other studies wait for it."""


def _lower_stored(value: Any, info: ValidationInfo) -> Any:
    """Lowers what a version without that bound has stored to what can be served."""
    return min(value, LARGEST_LOOKAHEAD) if is_stored(info) and type(value) is int else value


def _check_lookahead(value: Any, info: ValidationInfo) -> Any:
    value = _lower_stored(value, info)
    right = "it must be 'auto' or an integer of at least 1"
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise Fault(got(value), right)
    if isinstance(value, str) and value != "auto":
        raise Fault(f"is {show(value)}", right)
    if isinstance(value, int) and value < 1:
        raise Fault(f"is {show(value)}", right)
    if isinstance(value, int) and value > LARGEST_LOOKAHEAD:
        raise Fault(f"is {show(value)}", f"it must be at most {LARGEST_LOOKAHEAD}")
    return value


Lookahead = Annotated[
    Any,
    BeforeValidator(_check_lookahead),
    kind(f'`"auto"`, or integer, at least 1, at most {LARGEST_LOOKAHEAD}'),
]
