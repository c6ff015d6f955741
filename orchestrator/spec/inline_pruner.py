"""A pruner as one command-line option gives it: a spec's, or a name with arguments."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from orchestrator.common.errors import BadInput
from orchestrator.common.faults import Fault, show
from orchestrator.pruning import registry
from orchestrator.pruning.arguments import RuleArguments
from orchestrator.spec.load import LARGEST_FILE, check_keys, load

_FORM = "write it as 'median n_startup_trials=2', or as the path of a spec"
_ARGUMENT = re.compile(r"[A-Za-z0-9_.-]+=(?P<value>.+)", re.DOTALL)
_OPENING, _CLOSING = "[{", "]}"


def read_pruner(text: str, where: str) -> RuleArguments:
    """Returns the pruner that an option asks for.

    Args:
        text: The path of a spec, whose [pruner] is taken; or a rule's name, followed by arguments as ``key=value``
            with values as TOML writes them, parted by spaces or commas. ``wrapped.name="median"`` reaches inside.
        where: The option's name in messages.

    Raises:
        BadInput: it is neither.
    """
    if text.endswith(".toml") or os.path.isfile(text):
        try:
            return load(Path(text)).pruner
        except BadInput as error:
            raise error.within(where) from None
    if len(text) > LARGEST_FILE:
        raise BadInput(where, f"is longer than {LARGEST_FILE} characters", _FORM)
    try:
        return registry.read(_table(text, where))
    except Fault as fault:
        raise fault.blame(where) from None


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
