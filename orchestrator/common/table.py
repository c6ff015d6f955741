"""The base of every table of a spec: strict, frozen, and clear about keys that it does not have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo, model_validator

from orchestrator.common.faults import Fault, got, nearest, show

STORED = "stored"
"""Names the validation's context: whether what is read was written by this program."""


def is_stored(info: ValidationInfo) -> bool:
    """Whether what is validated was stored by this program, perhaps by a version with other bounds."""
    return isinstance(info.context, dict) and bool(info.context.get(STORED))


class Table(BaseModel):
    """A table of the spec; unknown keys are refused before anything else, so that a misspelt required key
    is called misspelt and not missing."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    internal: ClassVar[frozenset[str]] = frozenset()
    """Keys that only this program writes, into what is stored."""

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, data: Any, info: ValidationInfo) -> Any:
        if not isinstance(data, dict):
            return data
        if cls.model_config.get("extra") != "forbid":
            return data
        known = cls.model_fields.keys() - (frozenset() if is_stored(info) else cls.internal)
        for key in data:
            if key not in known:
                raise Fault("unknown key", nearest(str(key), known), (str(key),))
        return data


def tagged(
    tag: str,
    known: Iterable[str],
    default: str | None = None,
    otherwise: Callable[[str], None] | None = None,
) -> BeforeValidator:
    """Checks the key that says which kind of table this is, before the kinds themselves are tried.

    ``otherwise`` is asked about a name that is not known: it raises a ``Fault``, or lets it pass.
    """
    names = tuple(known)

    def check(value: Any) -> Any:
        if isinstance(value, Table):
            return value
        if not isinstance(value, dict):
            raise Fault(got(value), f"it must be a table with the key '{tag}'")
        if tag not in value:
            if default is not None:
                return {tag: default, **value}
            raise Fault("required key missing", "one of " + ", ".join(names), (tag,))
        name = value[tag]
        if not isinstance(name, str):
            raise Fault(got(name), "it must be a string, one of " + ", ".join(names), (tag,))
        if name not in names and otherwise is not None:
            otherwise(name)
        elif name not in names:
            raise Fault(f"there is no {show(name)}", nearest(name, names), (tag,))
        return value

    return BeforeValidator(check)
