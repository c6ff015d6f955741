"""Processes that are forked from one with everything imported."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own: it has to have one thread when it forks.
PROGRAM = """
from orchestrator.control.process_template import ProcessTemplate

template = ProcessTemplate()
print(*{template.start().end() for _ in range(20)})
template.close()
"""


def test_one_that_has_only_just_been_forked_can_be_ended() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, timeout=60, check=True)
    assert ran.stdout == b"-9\n"
