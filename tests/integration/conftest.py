"""What the tests of real processes are given, and where they find what they share."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from fixtures import alone, embedded, running, running_embedded, servers, shared_embedded

from tasks.process_guards import adopt_orphans

__all__ = ["alone", "embedded", "running", "running_embedded", "servers", "shared_embedded"]

# What a test has started and what has lost its parent stays a descendant of the tests, by which it is found.
adopt_orphans()
