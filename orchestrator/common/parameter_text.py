"""Parameters of a trial as text that other programs read: TOML, JSON, arguments of a command line."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any, Final

from orchestrator.common.json_text import plain

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def to_toml(params: Mapping[str, Any]) -> str:
    """Returns a line for each parameter; TOML has no null, so one that is null is a comment."""
    return "\n".join(
        f"# {_key(name)} is null, which TOML lacks" if _has_null(value) else f"{_key(name)} = {_toml(value)}"
        for name, value in params.items()
    )


def to_json(params: Mapping[str, Any]) -> str:
    """Returns one JSON object; NaN and infinities, which JSON lacks, are null."""
    return json.dumps(plain(params), ensure_ascii=False)


def to_arguments(params: Mapping[str, Any]) -> str:
    """Returns ``--name=value`` for each parameter, quoted for a shell: numbers in full, text as it is, all else as
    JSON."""
    return shlex.join(f"--{name}={value_text(value)}" for name, value in params.items())


def value_text(value: Any) -> str:
    """Returns a value as a program's argument: text as it is, all else as JSON, so that the same float is read back."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return _toml(value)
    return json.dumps(value, ensure_ascii=False)


FORMATS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "toml": to_toml,
    "json": to_json,
    "args": to_arguments,
}
"""What writes parameters, by the name of the format."""


def _has_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_null, value.values()))
    return value is None or (isinstance(value, list | tuple) and any(map(_has_null, value)))


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _string(name)


def _string(text: str) -> str:
    # JSON's escapes are those of TOML, which wants DEL escaped, too.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if math.isnan(value):
            return "nan"
        return repr(value) if math.isfinite(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(str(key))} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value) if isinstance(value, int) else _string(str(value))
