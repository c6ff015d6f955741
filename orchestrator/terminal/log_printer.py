"""Prints what an objective printed: for a person, for a program, or as it is."""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Iterable
from typing import IO, Final

from orchestrator.queries.logs import TrialLog, text_lines

_SHOWN: Final = frozenset("\n\t")


def print_log(log: TrialLog, printer: Printer | JsonPrinter) -> None:
    """Prints a trial's log; what the log does not say itself, on standard error."""
    for note in log.notes:
        print(note, file=sys.stderr)
    printer.write(log.blocks())
    if silence := log.silence():
        print(silence, file=sys.stderr)


def standard_output(as_json: bool) -> Printer | JsonPrinter:
    """Returns a printer to standard output."""
    return JsonPrinter(sys.stdout.buffer) if as_json else Printer(sys.stdout.buffer, sys.stdout.isatty())


class Printer:
    """Writes a log to a terminal, where control characters are only named, or to anything else as it is."""

    def __init__(self, output: IO[bytes], is_terminal: bool) -> None:
        self._output = output
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="backslashreplace") if is_terminal else None

    def write(self, blocks: Iterable[bytes]) -> None:
        for block in blocks:
            if self._decode is not None:
                block = plain(self._decode.decode(block)).encode(errors="backslashreplace")
            self._output.write(block)
            self._output.flush()


class JsonPrinter:
    """Writes a log for a program: an object for each line, ``{"line": …}``; what is no UTF-8 is escaped in it."""

    def __init__(self, output: IO[bytes]) -> None:
        self._output = output

    def write(self, blocks: Iterable[bytes]) -> None:
        for line in text_lines(blocks):
            self._output.write(json.dumps({"line": line}).encode() + b"\n")
            self._output.flush()


def plain(text: str) -> str:
    """Returns ``text`` with nothing left in it that could move a cursor, change a color or speak to the terminal."""
    # A bar that redraws its line with a carriage return is a line for each state.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in _SHOWN else _named(each) for each in text)


def _named(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii") if ord(character) > 0x1F else f"\\x{ord(character):02x}"
