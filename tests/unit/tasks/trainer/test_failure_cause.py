"""What kind of failure an exception of the objective is."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import optuna
import pytest

from tasks.trainer.objective_runner import cause_of
from tasks.trainer.slicing import CheckpointMissing
from tests.later import Later

torch = Later("torch")


@pytest.mark.parametrize(
    "raised",
    [
        lambda: MemoryError(),
        lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        lambda: torch.cuda.OutOfMemoryError("CUDA out of memory"),
        lambda: type("TooLarge", (torch.OutOfMemoryError,), {})("…"),
        lambda: RuntimeError("CUDA error: out of memory"),
        lambda: RuntimeError("cuDNN: Out of memory"),
    ],
)
def test_want_of_memory_is_known_by_its_names(raised: Callable[[], BaseException]) -> None:
    assert cause_of(raised()) == "out_of_memory"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ValueError("out of memory is no value"),
        KeyError("x"),
        SystemExit(3),
        subprocess.CalledProcessError(1, "x"),
        optuna.exceptions.OptunaError(),
    ],
    ids=repr,
)
def test_everything_else_is_an_exception(error: BaseException) -> None:
    assert cause_of(error) == "exception"


def test_an_objective_that_saves_nothing_has_a_cause_of_its_own() -> None:
    assert cause_of(CheckpointMissing("…")) == "checkpoint"
