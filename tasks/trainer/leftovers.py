"""Ends the threads and processes that a trial has left running, or names those that cannot be ended.

Work of PyTorch's DataLoader, joblib and multiprocessing is ended by the library's own means, so that the next trial can
use the library again.
"""

from __future__ import annotations

import concurrent.futures.thread
import contextlib
import functools
import gc
import multiprocessing
import multiprocessing.queues
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tasks.process_identity import children_of

POLITE_SECONDS: Final = 0.5
"""Time between SIGTERM and SIGKILL for a child process."""

PATIENCE_SECONDS: Final = 3.0
"""Longest wait, in all, for threads and child processes to end."""

_PAUSE_SECONDS: Final = 0.002

_WAITING: Final = (
    concurrent.futures.thread._worker.__code__,
    multiprocessing.queues.Queue._feed.__code__,  # type: ignore[attr-defined]
)
"""Functions in which an idle helper thread waits for work."""

_HOLDERS: Final[tuple[tuple[str, str, Callable[[Any], set[int]]], ...]] = (
    ("multiprocessing.pool", "Pool", lambda pool: {each.pid for each in pool._pool} if pool._state == "RUN" else set()),
    ("multiprocessing.managers", "BaseManager", lambda manager: {getattr(manager._process, "pid", 0)}),
    ("concurrent.futures.process", "ProcessPoolExecutor", lambda pool: set(pool._processes or ())),
    ("subprocess", "Popen", lambda process: set() if process in subprocess._active else {process.pid}),  # type: ignore
)
"""Classes that hold processes, by module and name, and a function that returns the process ids of an object. Processes
of dropped ``Popen`` objects are in ``subprocess._active``."""


@dataclass(frozen=True)
class RunningWork:
    """The threads and child processes at one time."""

    threads: frozenset[threading.Thread]
    children: frozenset[int]


def snapshot() -> RunningWork:
    """Returns the threads and child processes that run now."""
    return RunningWork(frozenset(threading.enumerate()), frozenset(_children()))


def end_new_work(before: RunningWork) -> str:
    """Ends what was started since ``before``; returns what cannot be ended, in words, or nothing."""
    if not _threads(before) and not _new(before):
        return ""
    # Before garbage is collected: that would delete the queues by which the workers are told to end.
    _end_loaders()
    # Pools and executors that are garbage end when they are collected.
    gc.collect()
    _end_joblib()
    _end_forkserver()
    if held := _held(before):
        return f"a {held}, which is still referred to; end it in the trial, as a 'with' statement does"
    deadline = time.monotonic() + PATIENCE_SECONDS
    if children := _end_children(before, deadline):
        return f"{len(children)} child process(es) that cannot be ended: {', '.join(map(_described, children[:3]))}"
    for thread in _threads(before):
        thread.join(max(0.0, deadline - time.monotonic()))
    return f"threads behind: {', '.join(thread.name for thread in left[:3])}" if (left := _threads(before)) else ""


def _threads(before: RunningWork) -> list[threading.Thread]:
    """Returns the threads that were started since and are not idle helpers."""
    new = [thread for thread in threading.enumerate() if thread not in before.threads]
    return [thread for thread in new if not _idles(thread)] if new else new


def _idles(thread: threading.Thread) -> bool:
    """Whether it is an idle helper of a library: the monitor of tqdm, or a worker thread of a pool or queue."""
    if thread.name == "tqdm_monitor":
        return True
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None and frame.f_globals is vars(threading):
        frame = frame.f_back
    return frame is not None and frame.f_code in _WAITING


def _new(before: RunningWork) -> list[int]:
    """Returns the child processes that were started since, without the helpers of libraries."""
    helpers = set(_helpers())
    return [pid for pid in _children() if pid not in before.children and pid not in helpers]


def _children() -> list[int]:
    """Returns the child processes that still run; waits for those that have ended."""
    while found := children_of():
        # multiprocessing waits for its own, and believes them alive for ever if other code does.
        known = {process.pid for process in multiprocessing.active_children()}
        if left := [pid for pid in found if pid in known or not _collect(pid)]:
            return left
        # Those that have just ended may have left orphans, which are our children now.
    return []


def _collect(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return not Path(f"/proc/{pid}").exists()


def _helpers() -> Iterator[int]:
    """Yields the resource trackers of multiprocessing and joblib, and PyTorch's compile workers."""
    for name in ("multiprocessing.resource_tracker", "joblib.externals.loky.backend.resource_tracker"):
        with contextlib.suppress(AttributeError):
            yield sys.modules[name]._resource_tracker._pid if name in sys.modules else 0
    compiling = sys.modules.get("torch._inductor.async_compile")
    for pool in list(getattr(compiling, "_pool_set", ())):
        with contextlib.suppress(AttributeError):
            yield pool.process.pid


def _end_loaders() -> None:
    """Ends the workers of every PyTorch DataLoader that is in the middle of an epoch."""
    module = sys.modules.get("torch.utils.data.dataloader")
    if module is None:
        return
    kind = module._MultiProcessingDataLoaderIter
    # Its SIGCHLD handler is gone with the trial's others; by this flag the next loader sets it again.
    module._utils.signal_handling._SIGCHLD_handler_set = False
    for iterator in _objects(kind):
        with contextlib.suppress(Exception):
            # A shutdown that an exception has cut short did not close the queues.
            iterator._shutdown &= all(queue._closed for queue in iterator._index_queues)
            iterator._shutdown_workers()
        if iterator._persistent_workers:
            # Its loader keeps it, and would use the ended workers again.
            iterator._reset = functools.partial(_begin_again, iterator)
        else:
            iterator._next_data = _ended


def _begin_again(iterator: Any, loader: Any, first_iter: bool = False) -> None:  # noqa: ARG001
    del iterator._reset
    iterator.__init__(loader)


def _ended() -> None:
    raise RuntimeError("the workers of this DataLoader have ended with the trial that started them: iterate it anew")


def _end_joblib() -> None:
    """Ends the pool that joblib keeps; its next call makes another one."""
    module = sys.modules.get("joblib.externals.loky.reusable_executor")
    if module is not None and (executor := module._executor) is not None:
        # joblib kills its workers by the program pgrep. A pool that does nothing ends without it.
        executor.shutdown(wait=True, kill_workers=bool(executor._pending_work_items))


def _end_forkserver() -> None:
    """Ends the fork server of multiprocessing; the processes that it forked become children of this one."""
    module = sys.modules.get("multiprocessing.forkserver")
    if module is not None and (pid := module._forkserver._forkserver_pid) is not None:
        with contextlib.suppress(OSError):
            # It would live as long as a process that it forked.
            os.kill(pid, signal.SIGKILL)
            module._forkserver._stop()


def _held(before: RunningWork) -> str:
    """Returns an object, in words, that is still referred to and holds new processes, or nothing."""
    new = set(_new(before))
    for module, name, processes_of in _HOLDERS:
        kind = getattr(sys.modules.get(module), name, None)
        for holder in _objects(kind) if kind is not None else ():
            if processes := processes_of(holder) & new:
                return f"{module}.{name} of process {_described(min(processes))}"
    return ""


def _objects(kind: type) -> list[Any]:
    """Returns the objects of a class; not by ``isinstance``, which an object can override."""
    return [each for each in gc.get_objects() if issubclass(type(each), kind)]


def _end_children(before: RunningWork, deadline: float) -> list[int]:
    """Ends child processes and their orphans; returns those that still run at the deadline."""
    told: dict[int, float] = {}
    while (left := _new(before)) and (now := time.monotonic()) < deadline:
        for pid in left:
            first = told.setdefault(pid, now)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if first == now:
                    os.kill(pid, signal.SIGTERM)
                elif now > first + POLITE_SECONDS:
                    os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE_SECONDS)
    return left


def _described(pid: int) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        command = ""
    return f"{pid} ({command[:80] or 'no command'})"
