"""Identity of processes: their PID namespace, start time and children.

Process ids have a meaning within one PID namespace of one boot alone: two containers may have the same host name, and
use the same ids.
"""

from __future__ import annotations

import contextlib
import functools
import os
from hashlib import blake2b
from pathlib import Path
from typing import Final

_SEPARATOR: Final = "."
_ENDED: Final = ("Z", "X")
"""States of a process that has ended and was not waited for."""
_STOPPED: Final = ("T", "t")


@functools.cache
def pid_namespace() -> str:
    """Returns a short name of this process's PID namespace; empty where it cannot be read."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        # This link names the namespace of the process, whatever /proc is mounted.
        return blake2b((boot + os.readlink("/proc/self/ns/pid")).encode(), digest_size=6).hexdigest()
    except OSError:
        return ""


def start_time(pid: int) -> str:
    """Returns the start time of a process in this namespace, in clock ticks since the boot, as text.

    Empty where it cannot be read, and where the process has ended, waited for or not.
    """
    try:
        # From the third field on; the second one may itself contain blanks and brackets.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in _ENDED else fields[19]
    except (OSError, IndexError):
        return ""


def is_stopped(pid: int) -> bool:
    """Whether a process stands still, as after SIGSTOP or Ctrl-Z, or under a debugger."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in _STOPPED
    except (OSError, IndexError):
        return False


def has_ended(pid: int) -> bool:
    """Whether this namespace has no such process any more; ``False`` where that cannot be read."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return proc_is_ours() and not start_time(pid)


def proc_is_ours() -> bool:
    """Whether /proc shows this namespace: it may have been mounted in another one."""
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


def with_namespace(name: str) -> str:
    """Returns a name with the namespace of this process appended, where that is known."""
    return f"{name}{_SEPARATOR}{pid_namespace()}" if pid_namespace() else name


def has_our_namespace(name: str) -> bool:
    """Whether ``with_namespace`` made the name in this namespace."""
    return bool(pid_namespace()) and name.rpartition(_SEPARATOR)[2] == pid_namespace()


def children_of(pid: int | str = "self") -> list[int]:
    """Returns the child processes of a process; none where there is no such process."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, task.read_text().split())
    return found
