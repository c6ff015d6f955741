"""A pruner as one command-line option gives it: a spec's, or a name with arguments."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.common.errors import BadInput
from orchestrator.common.faults import show
from orchestrator.common.table import Table
from orchestrator.common.validation_errors import bad_input
from orchestrator.spec.load import LARGEST_FILE, check_keys, load
from orchestrator.spec.pruner_table import Pruner, PrunerTable

_FORM = "write it as 'median n_startup_trials=2', or as the path of a spec"
_ARGUMENT = re.compile(r"[A-Za-z0-9_.-]+=(?P<value>.+)", re.DOTALL)
_OPENING, _CLOSING = "[{", "]}"


class _Holder(Table):
    """Stands for the spec that an inline pruner would be in."""

    pruner: Pruner


def read_pruner(text: str, where: str) -> PrunerTable:
    """Returns the pruner that an option asks for.

    Args:
        text: The path of a spec, whose [pruner] is taken; or a rule's name, followed by arguments as ``key=value``
            with values as TOML writes them, parted by spaces or commas. ``wrapped.name="median"`` reaches inside.
        where: What to call the option in a message.

    Raises:
        BadInput: it is neither.
    """
    if text.endswith(".toml") or os.path.isfile(text):
        try:
            return load(Path(text)).pruner
        except BadInput as error:
            raise BadInput(f"{where}: {error.where}", error.problem, error.remedy) from None
    if len(text) > LARGEST_FILE:
        raise BadInput(where, f"is longer than {LARGEST_FILE} characters", _FORM)
    try:
        return _Holder.model_validate({"pruner": _table(text, where)}).pruner
    except ValidationError as error:
        fault = bad_input(error, where)
        raise BadInput(fault.where.replace(f"{where}: pruner.", f"{where}: ", 1), fault.problem, fault.remedy) from None


def _table(text: str, where: str) -> dict[str, Any]:
    pieces = _pieces(text, where)
    if not pieces:
        raise BadInput(where, "is empty", _FORM)
    name, *arguments = pieces
    if "=" in name:
        raise BadInput(where, f"begins with {show(name)}, not with a rule's name", _FORM)
    check_keys(text, where)
    lines = []
    for argument in arguments:
        found = _ARGUMENT.fullmatch(argument)
        if found is None:
            raise BadInput(where, f"{show(argument)} is no argument", _FORM)
        try:
            tomllib.loads(f"value = {found['value']}")
        except (ValueError, RecursionError):
            remedy = 'text must be in quotes, as in mode="promotion"'
            raise BadInput(where, f"{show(argument)} has no value that TOML knows", remedy) from None
        lines.append(argument)
    try:
        # All at once: so dotted keys come together, and a key that is given twice is found.
        table = tomllib.loads("\n".join(lines))
    except (ValueError, RecursionError):
        raise BadInput(where, "gives an argument twice", "every key may stand only once") from None
    if "name" in table:
        raise BadInput(where, "gives the name twice", "it stands in front, without a key")
    return {"name": name, **table}


def _pieces(text: str, where: str) -> list[str]:
    """Splits at spaces and commas, though not inside of quotes and brackets nor around an equals sign."""
    pieces = [""]
    depth, quote, escaped = 0, "", False
    for character in text:
        if quote:
            if not escaped and character == quote:
                quote = ""
            escaped = character == "\\" and quote == '"' and not escaped
        elif character in "\"'":
            quote = character
        elif character == "#":
            raise BadInput(where, "contains a '#' outside of quotes", _FORM)
        elif depth == 0 and (character.isspace() or character == ","):
            pieces.append("")
            continue
        else:
            depth += (character in _OPENING) - (character in _CLOSING)
        pieces[-1] += character
    joined: list[str] = []
    for piece in filter(None, pieces):
        if len(joined) > 1 and (joined[-1].endswith("=") or piece.startswith("=")):
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined
