"""A kind of function that a user hands over, as a script or as the cells of a notebook."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any

CARRY = "\nfrom orchestrator.bundling import bundle_of_function; bundle = bundle_of_function({})\n"
GUARDED = (
    "\nif __name__ == '__main__':\n"
    "    from orchestrator.bundling import bundle_of_function\n    bundle = bundle_of_function({})\n"
)
PLAIN = """
    def objective(trial):
        return trial.suggest_float("x", 1, 2)
    """


@dataclass(frozen=True)
class Kind:
    """One kind.

    Attributes:
        name: What is special about it.
        script: The script, without the line that hands the function over.
        refused: Part of the refusal; empty where it is carried.
        given: The expression that is handed over.
        ending: The lines that hand it over.
        files: Other files beside the script.
        has: Files of the bundle; those in ``lacks`` are not in it.
        without: Text that no carried file holds.
        cells: Cells of a notebook, in place of the script.
        args: Keyword arguments of the objective.
        way: How the script is run: as a ``file``, behind ``-c``, by ``-m`` as the package ``pack``, by ``run_path``,
            as the ``__main__`` of a ``folder``, from a ``zip``, as a ``doctest`` or over ``stdin``.
    """

    name: str
    script: str = PLAIN
    refused: str = ""
    given: str = "objective"
    ending: str = CARRY
    files: dict[str, str] = field(default_factory=dict)
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    without: str = ""
    cells: tuple[str, ...] = ()
    args: dict[str, Any] = field(default_factory=dict)
    way: str = "file"

    def as_case(self, folder: str) -> dict[str, Any]:
        """Returns it as ``bundle_server`` reads it."""
        handed = textwrap.dedent(self.script) + self.ending.format(self.given)
        files = {"script.py": handed, **{name: textwrap.dedent(text) for name, text in self.files.items()}}
        cells = [textwrap.dedent(cell) for cell in self.cells]
        if cells:
            cells.append(self.ending.format(self.given).strip())
        return {"folder": folder, "files": files, "cells": cells, "args": self.args, "way": self.way}
