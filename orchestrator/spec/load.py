"""Reads a spec from a TOML file."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

from orchestrator.common.errors import BadInput
from orchestrator.common.faults import show
from orchestrator.common.field_types import NESTING
from orchestrator.spec.model import Spec, validate

LARGEST_FILE = 1 << 20

DEEPEST_KEY = NESTING + 8
"""Most parts of a dotted key, beyond the depth of every table: the time of ``tomllib`` grows with their square."""

_TOKEN = re.compile(
    # A missing end is accepted, so that no text is read twice.
    r"""\"{3}(?:[^"\\]|\\.|"{1,2}(?!"))*(?:"{3})?|'{3}(?:[^']|'{1,2}(?!'))*(?:'{3})?|\#[^\n]*"""
    r"""|(?P<part>"(?:[^"\\\n]|\\.)*"?|'[^'\n]*'?|[A-Za-z0-9_-]+)|(?P<dot>[ \t]*\.[ \t]*)|[ \t]+|.""",
    re.DOTALL,
)

_PLACE = re.compile(r"^(?P<text>.*?) \(at (?P<place>line \d+, column \d+|end of document)\)$", re.DOTALL)


def load(path: Path) -> Spec:
    """Reads a spec file.

    Raises:
        BadInput: it cannot be read, is no TOML, or is no spec; the message names file and key or line.
    """
    return parse(read(path), printable(path))


def read(path: Path) -> str:
    """Returns the text of a spec file.

    Raises:
        BadInput: it cannot be read.
    """
    source = printable(path)
    try:
        with open(path, "rb") as file:
            # One byte more than allowed tells a file that just fits from a longer or an endless one.
            raw = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise BadInput(source, "there is no such file") from None
    except IsADirectoryError:
        raise BadInput(source, "is a directory", "give the spec file in it") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInput(source, f"cannot be read: {reason}") from None
    if len(raw) > LARGEST_FILE:
        raise BadInput(source, f"is larger than {LARGEST_FILE} bytes", "that is no spec")
    try:
        # An editor's byte order mark is not worth a refusal.
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problem = f"is not UTF-8: byte 0x{raw[error.start]:02x}"
        raise BadInput(f"{source}: line {line}", problem, "save it as UTF-8") from None


def parse(text: str, source: str) -> Spec:
    """Reads a spec from TOML.

    Args:
        text: The TOML.
        source: Its name in messages.

    Raises:
        BadInput: it is no TOML or no spec.
    """
    check_keys(text, source)
    try:
        data = tomllib.loads(text)
    except RecursionError:
        raise BadInput(source, "is nested too deeply to be read") from None
    except ValueError as error:
        raise _broken(error, source) from None
    if not data:
        remedy = "it needs at least name, objective and trials"
        raise BadInput(source, "is empty" if not text.strip() else "has no keys", remedy)
    return validate(data, source)


def check_keys(text: str, source: str) -> None:
    """Refuses dotted keys with very many parts, before a parser sees them."""
    if all(line.count(".") < DEEPEST_KEY for line in text.splitlines()):
        return
    parts = 0
    for found in _TOKEN.finditer(text):
        if found["part"] is not None:
            parts += 1
        elif found["dot"] is None:
            parts = 0
        if parts > DEEPEST_KEY:
            line = text.count("\n", 0, found.start()) + 1
            raise BadInput(f"{source}: line {line}", f"has a key of more than {DEEPEST_KEY} parts", "flatten it")


def _broken(error: ValueError, source: str) -> BadInput:
    found = _PLACE.match(str(error))
    if found is None:
        # A number that Python will not convert comes as a bare ValueError, without a place.
        return BadInput(source, f"is not valid TOML: {str(error)[:200]}")
    problem = found["text"][:200]
    remedy = ""
    if problem.startswith(("Cannot overwrite", "Cannot declare", "Duplicate", "Cannot mutate")):
        remedy = "a key or table may stand only once"
    elif problem.startswith("Invalid value"):
        remedy = "text must be in quotes"
    return BadInput(f"{source}: {found['place']}", f"not valid TOML: {problem}", remedy)


def printable(path: Path) -> str:
    """Returns a path as a message names it."""
    text = os.fspath(path)
    return text if len(text) <= 300 and text.isprintable() else show(text, 300)
