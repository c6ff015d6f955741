"""A request to stop from signal handlers: signals that come one inside the other block nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

from orchestrator.common.signals import StopRequest

MANY_SIGNALS = """
import os, signal, subprocess, sys
from orchestrator.common.signals import handled_endings

with handled_endings(lambda signum, request: request.set()) as request:
    code = "import os, sys\\nfor _ in range(20_000):\\n for each in (1, 2, 15): os.kill(int(sys.argv[1]), each)"
    sender = subprocess.Popen([sys.executable, "-c", code, str(os.getpid())])
    while sender.poll() is None:
        request.wait(0.0)
        request.set()
print(request.is_set())
"""


def test_signals_inside_the_handlers_of_others_end_in_no_deadlock() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MANY_SIGNALS], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr


def test_a_wait_ends_with_the_request_and_else_in_time() -> None:
    request = StopRequest()
    assert not request.wait(0.01)
    threading.Timer(0.05, request.set).start()
    begun = time.monotonic()
    assert request.wait(60.0)
    assert time.monotonic() - begun < 30.0
    assert request.wait(60.0), "it stays made"
    request.close()


def test_a_signal_ends_a_wait() -> None:
    request = StopRequest()
    before = signal.signal(signal.SIGALRM, lambda *_: request.set())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert request.wait(60.0)
    finally:
        signal.signal(signal.SIGALRM, before)
        request.close()
