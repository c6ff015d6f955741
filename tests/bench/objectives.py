"""Objectives that the measurements send to real workers. They write what they saw into a folder they are given."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path

import optuna

_notes: list[tuple[Path, dict[str, float]]] = []
"""What the last trial of this process saw: written in the next one's time, so that its own end is not delayed."""


def first_report(trial: optuna.Trial, *, folder: str) -> float:
    """Reports once, and notes when."""
    trial.report(1.0, 1)
    path = Path(folder, "first_report")
    if not path.exists():
        path.write_text(repr(time.time()))
    return 1.0


def short(trial: optuna.Trial, *, seconds: float) -> float:
    """Trains for a moment and reports once."""
    x = trial.suggest_float("x", 0.0, 1.0)
    if seconds:
        time.sleep(seconds)
    trial.report(x, 1)
    return x


def talkative(trial: optuna.Trial, *, folder: str, reports: int, pause: float) -> float:
    """Times each of its calls of ``report``, as the training loop feels them, and a bare loop beside them."""
    clock = time.perf_counter_ns
    report = trial.report
    costs = []
    begun = clock()
    for step in range(reports):
        before = clock()
        report(0.5, step)
        costs.append(clock() - before)
        if pause:
            time.sleep(pause)
    whole = clock() - begun
    bare = []
    for step in range(reports):
        before = clock()
        _nothing(0.5, step)
        bare.append(clock() - before)
    note = {"costs": costs, "bare": bare, "whole": whole}
    Path(folder, f"talkative-{trial.study.study_name}.json").write_text(json.dumps(note))
    return 0.5


def _nothing(value: float, step: int) -> None:
    del value, step


def condemned(trial: optuna.Trial, *, folder: str, settle: float, burn: bool, heavy: bool) -> float:
    """The first trial is good; every other one reports something worse and stays in its epoch until it is told."""
    if heavy:
        importlib.import_module("torch._dynamo")
    if trial.number == 0:
        trial.report(1.0, 1)
        return 1.0
    began = time.monotonic()
    note: dict[str, float] = {"number": trial.number, "began": began, "torch": float("torch" in sys.modules)}
    note["pid"] = os.getpid()
    while _notes:
        path, kept = _notes.pop()
        path.write_text(json.dumps(kept))
    _notes.append((Path(folder, f"{trial.study.study_name}-{trial.number}.json"), note))
    try:
        _train(settle, burn=burn)
        note["report"] = time.monotonic()
        trial.report(0.0, 1)
        _train(20.0, burn=burn)
        return 0.0
    except optuna.TrialPruned:
        note["left"] = time.monotonic()
        note["left_wall"] = time.time()
        raise


def _train(seconds: float, *, burn: bool) -> None:
    if not burn:
        time.sleep(seconds)
        return
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sum(range(2_000))
