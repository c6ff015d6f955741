"""Measurements with real processes and servers: ``python -m tests.bench`` writes ``docs/bench.md``."""
