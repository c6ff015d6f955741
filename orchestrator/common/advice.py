"""What a message advises to do: a command where the command line asks, and its equal where a Python program does."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

EQUALS: Final = {
    "doctor": "connect().doctor()",
    "delete": "connect()[{0}].delete()",
    "logs": "connect()[{0}].logs({1})",
    "models get": "connect()[{0}].get_model({1})",
    "pause": "connect()[{0}].pause()",
    "prepare": "connect().prepare()",
    "resume": "connect()[{0}].resume()",
    "run": "Search.run()",
    "stop": "connect()[{0}].stop()",
    "trials": "connect()[{0}].trials()",
    "validate": "Search.from_file({0}).validate()",
}
"""Python's equals of commands, with the places of their arguments."""

_readers: list[str] = []
"""The readers of this process's messages, the newest last; without one, a Python program reads them."""


@contextmanager
def for_the_shell() -> Iterator[None]:
    """Has messages advise commands, in every thread of this process, while a command runs."""
    _readers.append("shell")
    try:
        yield
    finally:
        _readers.pop()


def how_to(command: str, *arguments: object) -> str:
    """Returns a command with its arguments as it is typed, or the call that does the same.

    Args:
        command: The command's name, such as ``models get``.
        *arguments: Texts and numbers, such as the name of a study.
    """
    if _readers:
        return " ".join(["orchestrator", command, *(shlex.quote(str(each)) for each in arguments)])
    return EQUALS[command].format(*(json.dumps(each, ensure_ascii=False) for each in arguments))
