"""The platforms that this program can run on."""

from __future__ import annotations

import os
import platform
import sys


def refusal() -> str:
    """Returns in one line why this program cannot run here and what helps; empty where it can.

    It runs on Linux: it forks, locks files, and reads in /proc what a trial has left behind.
    """
    if sys.platform != "linux":
        name = platform.system() or sys.platform
        return f"this program runs on Linux, not on {name}; run it in a Linux container, in WSL 2 or on a Linux machine"
    if not os.access("/proc/self/statm", os.R_OK):
        return "this program needs /proc, which is not there; mount it, as container runtimes do by default"
    return ""
