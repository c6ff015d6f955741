"""Is this process fit for another trial? Asked after each one; when in doubt the answer is no."""

from __future__ import annotations

import gc
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from tasks.trainer import traces

GPU_SLACK_BYTES = 64 << 20


@dataclass(frozen=True)
class Baseline:
    """What a trial may leave behind: nothing beside this."""

    threads: frozenset[int]
    traces: traces.Traces


def baseline() -> Baseline:
    """Returns the state before a trial."""
    return Baseline(frozenset(thread.ident or 0 for thread in threading.enumerate()), traces.take())


def trouble(before: Baseline) -> str:
    """Returns why this process should be replaced, or nothing.

    What is only set otherwise is put back, where that is possible; threads, child processes and GPU memory cannot be.
    """
    if lasting := traces.undo(before.traces):
        return f"the trial has changed {lasting}"
    left = [
        thread.name
        for thread in threading.enumerate()
        if thread.ident not in before.threads and not _from_a_pool(thread)
    ]
    if left:
        return f"the trial left threads behind: {', '.join(left[:3])}"
    if children := _children():
        return f"the trial left {len(children)} child process(es) behind"
    return _gpu_trouble()


def _from_a_pool(thread: threading.Thread) -> bool:
    # Process-wide helpers that libraries keep on purpose.
    return thread.name.startswith(("tqdm", "Tqdm", "ThreadPoolExecutor"))


def _children() -> list[str]:
    """Returns the child processes that still run; those that have ended are collected."""
    while found := [pid for task in Path("/proc/self/task").glob("*/children") for pid in task.read_text().split()]:
        if running := [pid for pid in found if not _collect(int(pid))]:
            return running
        # Those that have just ended may have left us children of theirs.
    return []


def _collect(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return not Path(f"/proc/{pid}").exists()


def _gpu_trouble() -> str:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return ""
    gc.collect()
    torch.cuda.empty_cache()
    held = sum(map(torch.cuda.memory_allocated, range(torch.cuda.device_count())))
    return f"the trial left {held >> 20} MiB on the GPU" if held > GPU_SLACK_BYTES else ""
