"""What a Python script says to the search that has started it: its parameters, metrics and checkpoints.

    from orchestrator import program

    lr = program.params["lr"]
    for epoch in range(program.resume_step() + 1, 20):
        loss = train_epoch(lr)
        program.report(step=epoch, loss=loss)

It needs nothing but Python's standard library: a script that another Python runs takes a copy of this one file beside
it. Started by hand, without a search, there are no parameters, and reports are dropped.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

__all__ = ["artifact_dir", "checkpoint_dir", "params", "report", "resume_step"]


def _read_params() -> dict[str, Any]:
    path = os.environ.get("ORCHESTRATOR_PARAMS_FILE")
    return dict(json.loads(Path(path).read_text())) if path else {}


params = _read_params()
"""The trial's parameters by their names."""


def report(*, step: int | None = None, checkpoint: bool = False, **metrics: float) -> None:
    """Reports metrics. A trial that is to stop gets SIGTERM.

    Args:
        step: The epoch or step that they belong to; without one, each report counts as one.
        checkpoint: Whether the files in ``checkpoint_dir`` are those to go on from after this step. Then the call waits
            until they are taken.
        **metrics: Numbers, tensors or arrays of one element, by the names of the metrics.

    Raises:
        TypeError, ValueError: a metric is no number.
    """
    line: dict[str, Any] = {name: float(value) for name, value in metrics.items()}
    if step is not None:
        line["step"] = int(step)
    if checkpoint:
        line["checkpoint"] = True
    descriptor = os.environ.get("ORCHESTRATOR_REPORT_FD")
    if descriptor:
        data = json.dumps(line).encode() + b"\n"
        # A pipe takes up to 4096 bytes in one piece, so that processes and threads that report do not mix their lines.
        while data:
            data = data[os.write(int(descriptor), data) :]
        if checkpoint:
            os.read(int(os.environ["ORCHESTRATOR_TAKEN_FD"]), 1)


def checkpoint_dir() -> Path | None:
    """Returns the folder of the trial's checkpoint, with the files of the last one where the trial goes on."""
    return _folder("ORCHESTRATOR_CHECKPOINT_DIR")


def artifact_dir() -> Path | None:
    """Returns the folder whose files are kept with the trial."""
    return _folder("ORCHESTRATOR_ARTIFACT_DIR")


def resume_step() -> int:
    """Returns the step of the checkpoint that the trial goes on from; -1 at its beginning."""
    return int(os.environ.get("ORCHESTRATOR_RESUME_STEP", "-1"))


def _folder(variable: str) -> Path | None:
    path = os.environ.get(variable)
    return Path(path) if path else None
