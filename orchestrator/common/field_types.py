"""Types of fields that several tables of a spec share."""

from __future__ import annotations

import keyword
import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from orchestrator.common.faults import Fault, got, show
from orchestrator.common.table import is_stored
from tasks.redis_keys import CELERYS_OWN, NAME_LENGTH, is_name

REFERENCE_LENGTH = 512
NESTING = 32
LARGEST_INTEGER = 2**31 - 1
"""The largest integer of an INTEGER column and of every worker's platform."""

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def check_name(text: str) -> str:
    """Returns a name that can be a Redis key, a Celery queue, a folder and a cell of a table.

    Raises:
        Fault: the text cannot be a name.
    """
    remedy = f"use 1 to {NAME_LENGTH} of the characters A-Z a-z 0-9 . _ - with a letter or digit first and no '..'"
    if not text:
        raise Fault("is empty", remedy)
    if len(text) > NAME_LENGTH:
        raise Fault(f"has {len(text)} characters", remedy)
    if not is_name(text):
        raise Fault(f"cannot be {show(text)}", remedy)
    return text


def check_queue(text: str) -> str:
    """As ``check_name``, for a queue."""
    if check_name(text) in CELERYS_OWN:
        raise Fault(f"cannot be {show(text)}", "Celery keeps something else there; take another name")
    return text


def check_auto_or_count(value: Any, most: int) -> Any:
    """Returns ``"auto"``, or an integer from 1 to ``most``.

    Raises:
        Fault: the value is neither.
    """
    right = "it must be 'auto' or an integer of at least 1"
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise Fault(got(value), right)
    if value != "auto" and (isinstance(value, str) or value < 1):
        raise Fault(f"is {show(value)}", right)
    if isinstance(value, int) and value > most:
        raise Fault(f"is {show(value)}", f"it must be at most {most}")
    return value


def split_reference(
    reference: str, form: str = "module:function", example: str = "tasks.objectives.digits:objective"
) -> tuple[str, str]:
    """Splits ``package.module:function`` into its two halves.

    Args:
        reference: The text.
        form: The form's name in messages.
        example: A text of that form.

    Raises:
        Fault: the text is not of that form.
    """
    module, colon, function = reference.partition(":")
    remedy = f"write it as '{form}', for example '{example}'"
    if len(reference) > REFERENCE_LENGTH:
        raise Fault(f"has {len(reference)} characters, more than {REFERENCE_LENGTH}", remedy)
    if not colon and reference.count(".") and _dotted(reference):
        head, _, tail = reference.rpartition(".")
        raise Fault(f"has no ':' in {show(reference)}", f"perhaps '{head}:{tail}'")
    as_module = module.removesuffix(".py").strip("./").replace("/", ".")
    if ("/" in module or module.endswith(".py")) and _dotted(as_module) and _dotted(function):
        raise Fault(f"names a file in {show(reference)}, not a module", f"perhaps '{as_module}:{function}'")
    if not _dotted(module) or not _dotted(function):
        raise Fault(f"cannot be {show(reference)}", remedy)
    return module, function


def _dotted(text: str) -> bool:
    return all(part.isidentifier() and not keyword.iskeyword(part) for part in text.split("."))


def _check_reference(reference: str) -> str:
    split_reference(reference)
    return reference


def _check_class_name(text: str) -> str:
    if len(text) > REFERENCE_LENGTH or not _dotted(text):
        raise Fault(f"cannot be {show(text)}", "write an exception's class name such as 'ValueError'")
    return text


def check_text(text: str, key: tuple[str | int, ...] = ()) -> str:
    """Refuses characters that a database column or a message cannot carry: NUL and lone surrogates."""
    if "\0" in text:
        raise Fault("contains a NUL character", "take it out", key)
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise Fault("contains a lone surrogate, which is no character", "take it out", key)
    return text


def check_json(value: Any, key: tuple[str | int, ...] = (), *, null: bool = False) -> Any:
    """Returns the value if JSON, the database and the message to a worker all carry it unchanged.

    Args:
        value: Any.
        key: Where it stands.
        null: Whether it may hold nulls, which TOML does not have.

    Raises:
        Fault: with the key of the part that they change or refuse.
    """
    if len(key) > NESTING:
        raise Fault(f"is nested more than {NESTING} deep", "flatten it", key[:3])
    if isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                raise Fault(f"has a key that {got(name)}", "keys must be strings", key)
            check_text(name, (*key, name))
            check_json(item, (*key, name), null=null)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check_json(item, (*key, index), null=null)
    elif value is not None or not null:
        check_scalar(value, key)
    return value


def check_scalar(value: Any, key: tuple[str | int, ...] = ()) -> Any:
    """As ``check_json``, for a string, a boolean or a number only."""
    if isinstance(value, str):
        check_text(value, key)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise Fault(f"is {value!r}", "only finite numbers can be stored", key)
    elif isinstance(value, int):
        # Booleans come this way too, and pass.
        if not -(2**63) <= value < 2**63:
            raise Fault(f"is {show(value)}, beyond 64 bits", "write it as a string", key)
    elif isinstance(value, list | dict):
        raise Fault(got(value), "it must be a string, a boolean or a number", key)
    else:
        remedy = "leave it out" if value is None else 'put it in quotes, "2024-05-01"'
        raise Fault(f"{got(value)}, which cannot be stored", remedy, key)
    return value


def _check_arguments(value: Any) -> Any:
    """Checks fixed keyword arguments: names that a function can have, values that JSON carries."""
    if not isinstance(value, dict):
        return value
    for name in value:
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
            raise Fault("cannot be the name of an argument", "use a Python identifier", (str(name),))
    return check_json(value)


def check_duration(value: Any) -> Any:
    """Returns seconds; ``90``, ``"90s"``, ``"1.5m"``, ``"2h"`` and ``"1d"`` are durations."""
    if not isinstance(value, str):
        return value
    found = _DURATION.fullmatch(value)
    if found is None:
        raise Fault(f"cannot be {show(value)}", 'write seconds, or a number with s, m, h or d such as "10m"')
    return float(found[1]) * _SECONDS[found[2]]


def kind(words: str) -> Any:
    """Names a value's type in the reference, where its Python type says too little."""
    return Field(json_schema_extra={"format": words})


def entries(most: int) -> Any:
    """Bounds the entries of an array or a table; one that an earlier version stored with more is still read."""

    def check(value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, list | tuple | dict) and len(value) > most and not is_stored(info):
            raise Fault(f"has {len(value)} entries", f"it may have at most {most}")
        return value

    return BeforeValidator(check)


Name = Annotated[str, AfterValidator(check_name), kind("name")]
Queue = Annotated[str, AfterValidator(check_queue), kind("name")]
Reference = Annotated[str, AfterValidator(_check_reference), kind("`module:function`")]
ClassName = Annotated[str, AfterValidator(_check_class_name), kind("class name")]
Arguments = Annotated[dict[str, Any], BeforeValidator(_check_arguments)]
Configuration = Annotated[dict[str, Any], BeforeValidator(check_json)]
Json = Annotated[Any, BeforeValidator(check_json)]
# Thirty days: long beyond use, and short of what the platform's timers refuse.
Duration = Annotated[float, BeforeValidator(check_duration), Field(gt=0, le=30 * 86_400), kind("duration")]
Count = Annotated[int, Field(ge=1, le=LARGEST_INTEGER)]
CountOrZero = Annotated[int, Field(ge=0, le=LARGEST_INTEGER)]
