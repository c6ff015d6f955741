"""Checks of user data, names and JSON values, where they are set: data that cannot be stored or sent is refused.

Optuna accepts more than every part between a worker and a reader does. Data that is refused here would be lost, or
would end the process that reads it: lone surrogates cannot be encoded, PostgreSQL stores no NUL in a name, a deeply
nested value overflows the stack of a reader.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from tasks.limits import MAX_EVENT_BYTES, MAX_NAME

MAX_VALUE: Final = MAX_EVENT_BYTES - 4_096
"""Most bytes of one value as JSON."""

MAX_ATTRIBUTES: Final = 16 << 20
"""Most bytes of the attributes of one trial or study as JSON, with their names: each job carries all of them."""

MAX_DEPTH: Final = 100
"""Deepest nesting of lists and dictionaries."""

RESERVED: Final = frozenset({"audited", "retry_of", "shadow_pruned_by"})
"""User attributes of a trial that only the control plane sets."""

OURS: Final = "orchestrator"
"""Prefix of the control plane's own attributes of trials and studies."""

_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_TEXTS = re.compile(r'"(?:[^"\\]|\\.)*"')
_REMEDY = "keep it as a file: trial.artifact_dir, trial.save_model"


class NotStorable(ValueError):
    """Data that cannot be stored or sent; the message is one line that names it and what helps."""


def check_name(where: str, name: object, longest: int = MAX_NAME) -> str:
    """Returns a name that can be stored.

    Args:
        where: Begins the message.
        name: Name of a parameter, an attribute or a constraint.
        longest: Most characters.

    Raises:
        TypeError: it is no text.
        NotStorable: it is too long, or has characters that cannot be stored or shown.
    """
    if not isinstance(name, str):
        raise TypeError(f"{where}: the name is {name!r:.80} ({type(name).__name__}), but must be text")
    if len(name) > longest:
        raise NotStorable(
            f"{where}: the name {name[:60]!r}… has {len(name)} characters; at most {longest} can be stored"
        )
    if odd := _UNFIT.search(name):
        raise NotStorable(
            f"{where}: the name {name!r:.80} has the character {odd[0]!a}; control characters, line separators and "
            "lone surrogates cannot be stored"
        )
    # Of a subclass, such as a member of an enum, the text alone.
    return str.__str__(name)


def as_json(where: str, name: str, value: Any) -> str:
    """Returns a value as JSON that can be stored.

    Args:
        where: Begins the message.
        name: Name of the value.
        value: The value.

    Raises:
        TypeError, ValueError: it is no JSON, as Optuna says it.
        NotStorable: it is too large, too deep, or holds text that is no Unicode.
    """
    try:
        text = json.dumps(value)
    except RecursionError:
        raise _too_deep(where, name) from None
    check_json(where, name, text)
    return text


def check_json(where: str, name: str, text: str) -> None:
    """Checks a value that is JSON text of ``json.dumps``.

    Raises:
        NotStorable: as above.
    """
    check_extent(where, name, text)
    if "\\ud" in text:
        try:
            json.dumps(json.loads(text), ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            found = error.object[error.start]
            raise NotStorable(
                f"{where}: '{name}' holds the character {found!a}, a lone surrogate, which cannot be stored; "
                "of a file's name that is no UTF-8, keep os.fsencode(name).decode(errors='replace')"
            ) from None


def check_extent(where: str, name: str, text: str) -> None:
    """Checks the size and depth of a value that is JSON text.

    Raises:
        NotStorable: as above.
    """
    if len(text) > MAX_VALUE:
        raise NotStorable(f"{where}: '{name}' is {len(text)} bytes of JSON, but may have {MAX_VALUE}; {_REMEDY}")
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise _too_deep(where, name)


class AttributeBudget:
    """The bytes that the attributes of one trial or study take, against ``MAX_ATTRIBUTES``.

    Args:
        of_what: Names the trial or study in the message.
        attributes: The present attributes, one mapping for each kind.
    """

    def __init__(self, of_what: str, *attributes: Mapping[str, Any]) -> None:
        self._of_what = of_what
        self._sizes = {
            (at, key): size(key, json.dumps(value)) for at, kind in enumerate(attributes) for key, value in kind.items()
        }
        self._all = sum(self._sizes.values())

    def take(self, where: str, kind: int, key: str, text: str) -> None:
        """Counts an attribute, in the place of one with the same name.

        Args:
            where: Begins the message.
            kind: Index of its kind among ``attributes``.
            key: Name of the attribute.
            text: Value as JSON.

        Raises:
            NotStorable: the budget is used up.
        """
        new = size(key, text)
        total = self._all + new - self._sizes.get((kind, key), 0)
        if total > MAX_ATTRIBUTES and new > self._sizes.get((kind, key), 0):
            raise NotStorable(
                f"{where}: with '{key}' the attributes of {self._of_what} are {total} bytes of JSON; "
                f"at most {MAX_ATTRIBUTES} can be stored; {_REMEDY}"
            )
        self._all = total
        self._sizes[kind, key] = new


def size(key: str, text: str) -> int:
    """Returns the bytes that an attribute takes in a message."""
    return len(key.encode(errors="surrogatepass")) + len(text) + 8


def _too_deep(where: str, name: str) -> NotStorable:
    return NotStorable(f"{where}: '{name}' is nested deeper than {MAX_DEPTH} lists or dictionaries; {_REMEDY}")


def _depth(text: str) -> int:
    deepest = depth = 0
    for bracket in re.findall(r"[\[\]{}]", _TEXTS.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest
