"""Is this process fit for another trial? Asked after each one; when in doubt the answer is no."""

from __future__ import annotations

import gc
import sys
from dataclasses import dataclass

from tasks.trainer import leftovers, process_state

GPU_SLACK_BYTES = 64 << 20


@dataclass(frozen=True)
class Baseline:
    """What a trial may leave behind: nothing beside this."""

    running: leftovers.RunningWork
    traces: process_state.ProcessState


def take_baseline() -> Baseline:
    """Returns the state before a trial."""
    return Baseline(leftovers.snapshot(), process_state.snapshot())


def find_problem(before: Baseline) -> str:
    """Returns why this process should be replaced, or nothing.

    Settings are put back and what still runs is ended, where that is possible; GPU memory cannot be taken back.
    """
    if lasting := process_state.restore(before.traces):
        return f"the trial has changed {lasting}"
    if left := leftovers.end_new_work(before.running):
        return f"the trial left {left}"
    return _gpu_trouble()


def _gpu_trouble() -> str:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return ""
    gc.collect()
    torch.cuda.empty_cache()
    held = sum(map(torch.cuda.memory_allocated, range(torch.cuda.device_count())))
    return f"the trial left {held >> 20} MiB on the GPU" if held > GPU_SLACK_BYTES else ""
