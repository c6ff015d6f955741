"""A page of which a part is measured, and the rest is written by hand."""

from __future__ import annotations

from pathlib import Path

from tests.bench.servers import say

END = "<!-- /measured -->\n"
WIDTH = 120
"""Columns of a line of prose."""


def write(path: Path, text: str, command: str) -> None:
    """Puts what was measured between its two marks on the page, or makes the page of it.

    Args:
        path: The page.
        text: What was measured.
        command: What measures it; the first mark names it.
    """
    begin = f"<!-- measured: {command} -->\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    page = path.read_text() if path.exists() else begin + END
    before, _, rest = page.partition(begin)
    path.write_text(f"{before}{begin}\n{text}\n{END}{rest.partition(END)[2]}")
    say(f"written to {path}")
