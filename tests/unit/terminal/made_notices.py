"""Notices of a study, made by hand with plain defaults."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestrator.model.progress_events import Best, Notice, Progress, SlotLine, TrialEnded
from orchestrator.terminal.live_state import ViewState, fold

BEST = Best(number=4, value=0.98333, params={"lr": 0.00123456, "optimizer": "Adam", "units": 128})


def progress(**changes: Any) -> Progress:
    values: dict[str, Any] = {
        "study": "digits",
        "state": "running",
        "reason": "",
        "budget": 40,
        "complete": 5,
        "pruned": 7,
        "failed": 1,
        "running": 2,
        "waiting": 1,
        "epochs": 214,
        "max_steps": 27,
        "epochs_saved": 133,
        "best": BEST,
        "slots": (slot(0), slot(1)),
    }
    return Progress(**(values | changes))


def slot(index: int, **changes: Any) -> SlotLine:
    values: dict[str, Any] = {
        "slot": f"worker-812@node-3.cluster.local/{index}",
        "device": f"gpu {index}",
        "trial": 14 + index,
        "attempt": 1,
        "epochs": 7,
        "step": 6,
        "value": 0.87112345,
    }
    return SlotLine(**(values | changes))


def ended(number: int = 12, **changes: Any) -> TrialEnded:
    values: dict[str, Any] = {
        "number": number,
        "state": "PRUNED",
        "values": (0.87112345,),
        "epochs": 8,
        "seconds": 3.14,
        "params": {"lr": 0.1},
        "detail": "median at step 8: value 0.8711, threshold 0.9422 of 6 peers",
    }
    return TrialEnded(**(values | changes))


def failed(number: int = 13, **changes: Any) -> TrialEnded:
    values: dict[str, Any] = {
        "state": "FAIL",
        "values": (),
        "epochs": 3,
        "detail": "ValueError: bad batch",
        "traceback": 'Traceback (most recent call last):\n  File "a.py", line 1\nValueError: bad batch\n',
    }
    return ended(number, **(values | changes))


def folded(notices: Iterable[Notice], step: float = 0.1) -> ViewState:
    state = ViewState()
    for position, notice in enumerate(notices):
        state = fold(state, notice, 1000.0 + position * step)
    return state
