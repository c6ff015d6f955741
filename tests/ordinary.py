"""Becoming an ordinary user, for what root may do and others may not."""

from __future__ import annotations

import ctypes
import os

UNPRIVILEGED = 65534
_PR_SET_DUMPABLE = 4


def become_ordinary() -> None:
    """Makes this process one of an ordinary user, where it is root's. What it needs of root's files it has read."""
    if os.getuid() != 0:
        return
    os.setgroups([])
    os.setresgid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
    os.setresuid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
    # To become another user takes the right to be read away.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
