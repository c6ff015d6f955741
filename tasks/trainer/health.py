"""Checks after each trial whether the process is fit for another one; when in doubt it is replaced."""

from __future__ import annotations

import gc
import sys
from dataclasses import dataclass

from tasks.contract import PEAK_GPU_MEMORY
from tasks.trainer import leftovers, process_state

GPU_SLACK_BYTES = 64 << 20


@dataclass(frozen=True)
class Baseline:
    """The state before a trial, to which it must return."""

    running: leftovers.RunningWork
    traces: process_state.ProcessState


def take_baseline() -> Baseline:
    """Returns the state before a trial."""
    for device in range(_gpus()):
        sys.modules["torch"].cuda.reset_peak_memory_stats(device)
    return Baseline(leftovers.snapshot(), process_state.snapshot())


def peak_gpu_memory() -> dict[str, float]:
    """Returns the most memory, in bytes, that PyTorch has reserved on the GPUs since the baseline; nothing where it has
    used none."""
    torch = sys.modules.get("torch")
    peak = sum(torch.cuda.max_memory_reserved(device) for device in range(_gpus())) if torch else 0
    return {PEAK_GPU_MEMORY: peak} if peak else {}


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
    if not (gpus := _gpus()):
        return ""
    torch = sys.modules["torch"]
    gc.collect()
    torch.cuda.empty_cache()
    held = sum(map(torch.cuda.memory_allocated, range(gpus)))
    return f"the trial left {held >> 20} MiB on the GPU" if held > GPU_SLACK_BYTES else ""


def _gpus() -> int:
    """Returns how many GPUs this process uses by PyTorch; 0 where it has used none yet."""
    torch = sys.modules.get("torch")
    return torch.cuda.device_count() if torch is not None and torch.cuda.is_initialized() else 0
