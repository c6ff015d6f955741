"""A daemon that a trial has started is ended, at whatever moment its parent leaves it to the training process."""

from __future__ import annotations

import subprocess
import sys

ROUNDS = 150

LOOKING = f"""
import os, signal, sys, time
from tasks.process_guards import adopt_orphans
from tasks.trainer import health

adopt_orphans()
before = health.take_baseline()
for round in range({ROUNDS}):
    reading, writing = os.pipe()
    if os.fork() == 0:
        daemon = os.fork()
        if daemon == 0:
            os.close(reading), os.close(writing)
            signal.pause()
        os.write(writing, str(daemon).encode())
        end = time.perf_counter() + round % 50 * 1e-5
        while time.perf_counter() < end:
            pass
        os._exit(0)
    daemon = int(os.read(reading, 32))
    os.close(reading), os.close(writing)
    assert health.find_problem(before) == "", round
    try:
        os.kill(daemon, 0)
    except ProcessLookupError:
        continue
    sys.exit(f"round {{round}}: not found")
"""


def test_a_daemon_is_ended_while_it_changes_hands() -> None:
    done = subprocess.run([sys.executable, "-c", LOOKING], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-1_000:]
