"""Which processes can look each other up by their ids: those of one boot of one kernel, in one PID namespace.

Two containers may have the same host name, and the same ids in them; what one finds of an id says nothing of the other.
"""

from __future__ import annotations

import functools
import os
from hashlib import blake2b
from pathlib import Path
from typing import Final

_SEPARATOR: Final = "."
_ENDED: Final = ("Z", "X")
"""States of a process that has ended; its parent, or the system's first process, may take its time to wait for it."""


@functools.cache
def pid_namespace() -> str:
    """Returns a short name of this process's PID namespace, the same for all that are in it; empty if not known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        # This link tells the namespace of the process, whatever /proc is mounted.
        return blake2b((boot + os.readlink("/proc/self/ns/pid")).encode(), digest_size=6).hexdigest()
    except OSError:
        return ""


def start_time(pid: int) -> str:
    """Returns when a process of this namespace was started, in the kernel's words; empty where there is none such, and
    where that cannot be known. One that has ended and was not waited for yet is none."""
    try:
        # From the third field on; the second one may itself contain blanks and brackets.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in _ENDED else fields[19]
    except (OSError, IndexError):
        return ""


def has_ended(pid: int) -> bool:
    """Whether there is no such process in this namespace any more; ``False`` where that cannot be known."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return proc_is_ours() and not start_time(pid)


def proc_is_ours() -> bool:
    """Whether /proc shows this namespace: one that was made with another process's /proc shows that one's."""
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


def with_namespace(name: str) -> str:
    """Returns a name with the namespace of this process behind it, where that is known."""
    return f"{name}{_SEPARATOR}{pid_namespace()}" if pid_namespace() else name


def has_our_namespace(name: str) -> bool:
    """Whether ``with_namespace`` has made the name in this namespace."""
    return bool(pid_namespace()) and name.rpartition(_SEPARATOR)[2] == pid_namespace()
