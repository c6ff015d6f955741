"""The base of every table of a spec: strict, frozen, and clear about keys that it does not have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, ValidationInfo, model_validator

from orchestrator.common.errors import did_you_mean
from orchestrator.common.faults import Fault, first_fault, got, show

STORED = "stored"
"""The validation context's key that says whether this program wrote what is read."""


def is_stored(info: ValidationInfo) -> bool:
    """Whether this program stored what is validated, perhaps in a version with other bounds."""
    return isinstance(info.context, dict) and bool(info.context.get(STORED))


class Table(BaseModel):
    """A table of the spec.

    Unknown keys are refused before anything else, so that a misspelt required key is called misspelt and not missing.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    internal: ClassVar[frozenset[str]] = frozenset()
    """Keys that only this program writes, into what is stored."""

    @classmethod
    def read(cls, data: Any, context: Any = None) -> Self:
        """Returns the table that ``data`` holds.

        Raises:
            Fault: the first thing that is wrong.
        """
        try:
            return cls.model_validate(data, context=context)
        except ValidationError as error:
            raise first_fault(error) from None

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, data: Any, info: ValidationInfo) -> Any:
        if not isinstance(data, dict) or cls.model_config.get("extra") != "forbid":
            return data
        known = cls.model_fields.keys() - (frozenset() if is_stored(info) else cls.internal)
        for key in data:
            if key not in known:
                raise Fault("unknown key", did_you_mean(str(key), known), (str(key),))
        return data


def check_tag(
    value: Any,
    tag: str,
    known: Iterable[str],
    default: str | None = None,
    otherwise: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Checks the key that says which kind of table this is, before the kinds themselves are tried.

    Args:
        value: The table.
        tag: The key.
        known: The kinds.
        default: The kind of a table without the key; None requires it.
        otherwise: Is given a kind that is not known; raises a ``Fault``, or lets it pass.

    Returns:
        The table, with the key in it.

    Raises:
        Fault: it is no table, or of no such kind.
    """
    names = tuple(known)
    if not isinstance(value, dict):
        raise Fault(got(value), f"it must be a table with the key '{tag}'")
    if tag not in value:
        if default is None:
            raise Fault("required key missing", "one of " + ", ".join(names), (tag,))
        return {tag: default, **value}
    name = value[tag]
    if not isinstance(name, str):
        raise Fault(got(name), "it must be a string, one of " + ", ".join(names), (tag,))
    if name not in names:
        if otherwise is None:
            raise Fault(f"there is no {show(name)}", did_you_mean(name, names), (tag,))
        otherwise(name)
    return value


def one_of(tag: str, **kinds: type[Table]) -> BeforeValidator:
    """Validates a field whose table is of the kind that its key ``tag`` names."""

    def choose(value: Any, info: ValidationInfo) -> Table:
        if isinstance(value, Table):
            return value
        return kinds[check_tag(value, tag, kinds)[tag]].read(value, info.context)

    return BeforeValidator(choose)
