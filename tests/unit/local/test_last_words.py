"""The last error in the log of a process that has ended."""

from __future__ import annotations

import pytest

from orchestrator.local.child_process import last_words

TRACEBACK = """Traceback (most recent call last):
  File "a.py", line 1, in <module>
    f(
    ^^
ValueError: the cause
"""
INDENTED = "".join(f"    {line}\n" for line in TRACEBACK.splitlines())


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", ""),
        ("one\ntwo\n\n", "two"),
        (TRACEBACK, "ValueError: the cause"),
        (f"{TRACEBACK}sys:1: ResourceWarning: unclosed file\n[W1130] stray\n", "ValueError: the cause"),
        (f"2026-01-01 00:00:00 ERROR serve went wrong\n{INDENTED}Exception ignored in: x\n", "ValueError: the cause"),
        (
            f"{TRACEBACK.replace('the cause', 'before')}\nThen another\n\n{TRACEBACK}",
            "ValueError: the cause",
        ),
        (f"{TRACEBACK}orchestrator: database: cannot be reached\nstray\n", "orchestrator: database: cannot be reached"),
        ("Traceback (most recent call last):\n  cut off", "  cut off"),
    ],
)
def test_last_words(log: str, words: str) -> None:
    assert last_words(log) == words.strip()
