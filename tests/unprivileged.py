"""Drops root's rights, for tests of what root may do and other users may not."""

from __future__ import annotations

import ctypes
import os

UNPRIVILEGED = 65534
_PR_SET_DUMPABLE = 4


def become_unprivileged() -> None:
    """Turns a process of root into one of an unprivileged user; files that only root may read are read before."""
    if os.getuid() != 0:
        return
    os.setgroups([])
    os.setresgid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
    os.setresuid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
    # After a change of user /proc/self belongs to root until the process is dumpable again.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
