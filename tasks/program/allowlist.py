"""The programs that a worker agrees to run: a client of the queue can name any, the worker's owner decides."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tasks.metrics_endpoint import BadSetting
from tasks.program.command import Command

COMMANDS: Final = "ORCHESTRATOR_COMMANDS"
"""Variable with the list: commands, separated by ``;`` or by lines, or ``*`` for every command."""

_EVERYTHING = "*"
_SEPARATORS = ";\n"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


@dataclass(frozen=True)
class _Entry:
    variables: frozenset[str]
    words: tuple[str, ...]

    def admits(self, command: Command) -> bool:
        # The words as the spec has them: a placeholder is no word of the list, whatever it is filled with.
        return command.run[: len(self.words)] == self.words and command.env.keys() <= self.variables


@dataclass(frozen=True)
class CommandAllowlist:
    """The commands that one worker admits.

    An entry admits the commands that begin with its words, and may begin itself with the names of variables that such
    a command may set, as in ``LR= BATCH= python train.py``. A variable can make a program load other code, so none is
    admitted that is not named.
    """

    entries: tuple[_Entry, ...] = ()
    everything: bool = False

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> CommandAllowlist:
        """Reads the list.

        Raises:
            BadSetting: an entry is no command.
        """
        commands = _split(environ.get(COMMANDS, ""))
        if [_EVERYTHING] in commands:
            return cls(everything=True)
        return cls(tuple(map(_entry, commands)))

    def refuse(self, command: Command) -> str:
        """Returns in one line why the command must not be run, or nothing."""
        if self.everything or any(entry.admits(command) for entry in self.entries):
            return ""
        return (
            f"this worker does not run this command; to admit it, add it or its beginning to {COMMANDS}, whose entries "
            f"are separated by ; — {entry_of(command):.600}"
        )


def entry_of(command: Command) -> str:
    """Returns the entry that admits exactly what the spec has written."""
    return " ".join([*(f"{name}=" for name in command.env), shlex.join(command.run)])


def _split(text: str) -> list[list[str]]:
    """Returns the words of each command of the list; a separator in quotes is plain text."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=_SEPARATORS)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    try:
        words = list(lexer)
    except ValueError as error:
        raise BadSetting(COMMANDS, f"'{text:.200}' cannot be read: {str(error).lower()}") from None
    groups = itertools.groupby(words, lambda word: bool(word) and not word.strip(_SEPARATORS))
    return [list(group) for separator, group in groups if not separator]


def _entry(words: list[str]) -> _Entry:
    count = next((index for index, word in enumerate(words) if not _VARIABLE.fullmatch(word)), len(words))
    if count == len(words):
        raise BadSetting(COMMANDS, f"'{shlex.join(words):.200}' names no program")
    return _Entry(frozenset(word[:-1] for word in words[:count]), tuple(words[count:]))
