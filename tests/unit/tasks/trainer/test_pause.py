"""Saving, going on and pausing, as an objective meets them: the trial, its files, and a stop that comes in between."""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from tasks.contract import CheckpointRef, Epoch, Failed, Finished, Job, Paused, Slice
from tasks.trainer import file_writers, objective_runner
from tasks.trainer.file_writers import ArtifactWriter, CheckpointWriter
from tasks.trainer.interrupt import Interrupter
from tasks.trainer.keeper_channel import KeeperChannel
from tasks.trainer.trial import WorkerTrial
from tasks.trainer_messages import CheckpointSaved
from tests.later import Later

torch = Later("torch")

PLAN = Slice(until_step=3, checkpoint_by=5)
Objective = Callable[[WorkerTrial], Any]


class Attempts:
    """One trial's folder; runs attempts of it one after the other, each from what the one before has saved."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[Any] = []
        self.interrupter = Interrupter()
        self.interrupter.install()
        self._attempts = 0

    def files(self) -> CheckpointWriter:
        self._attempts += 1
        saved = [said for said in self.said if isinstance(said, CheckpointSaved)]
        given = [
            (
                CheckpointRef(step=each.step, location=each.file, digest=each.digest, size=each.size),
                str(self.folder / each.file),
            )
            for each in reversed(saved)
        ]
        return CheckpointWriter(self.folder, f"t{self._attempts}", given)

    def trial(self, plan: Slice | None = None) -> WorkerTrial:
        job = Job(
            study="s", uid="u", trial=0, token="t", attempt=1, objective="m:f", directions=("minimize",), slice=plan
        )
        return WorkerTrial(
            job,
            KeeperChannel(self.said.append, self.interrupter),
            self.files(),
            ArtifactWriter(self.folder / "artifacts"),
        )

    def run(self, function: Objective, plan: Slice | None = PLAN) -> Finished | Failed | Paused | None:
        module = types.ModuleType("objective_of_a_test")
        module.function = function  # type: ignore[attr-defined]
        sys.modules[module.__name__] = module
        try:
            return objective_runner.run(f"{module.__name__}:function", self.trial(plan), {}, self.interrupter, "t")
        finally:
            del sys.modules[module.__name__]

    @property
    def reported(self) -> list[int]:
        return [said.step for said in self.said if isinstance(said, Epoch)]

    @property
    def saved(self) -> list[int]:
        return [said.step for said in self.said if isinstance(said, CheckpointSaved)]


@pytest.fixture
def attempts(tmp_path: Path) -> Iterator[Attempts]:
    before = signal.getsignal(signal.SIGUSR2)
    yield Attempts(tmp_path)
    signal.signal(signal.SIGUSR2, before)


def steps(trial: WorkerTrial, *, save_first: bool = False, last: int = 9) -> float:
    """An objective as it should be."""
    found = trial.load_checkpoint()
    begin = found.step if found else 0
    for step in range(begin + 1, last + 1):
        if save_first:
            trial.save_checkpoint({"step": step}, step)
        trial.report(float(step), step)
        if not save_first:
            trial.save_checkpoint({"step": step}, step)
    return float(last)


@pytest.mark.parametrize("save_first", [False, True])
def test_a_trial_is_trained_in_slices_and_no_step_is_trained_twice(attempts: Attempts, save_first: bool) -> None:
    def run(plan: Slice | None) -> Any:
        return attempts.run(lambda trial: steps(trial, save_first=save_first), plan)

    assert run(PLAN) == Paused(step=3)
    assert run(Slice(until_step=6, checkpoint_by=8)) == Paused(step=6)
    assert run(None) == Finished(values=(9.0,))
    assert attempts.reported == attempts.saved == list(range(1, 10))


def test_a_retry_of_a_slice_whose_end_was_lost_ends_with_its_first_report(attempts: Attempts) -> None:
    assert attempts.run(steps) == Paused(step=3)
    assert attempts.run(steps) == Paused(step=4)
    assert attempts.reported == [1, 2, 3, 4]


def test_an_objective_that_saves_nothing_is_refused(attempts: Attempts) -> None:
    def saves_nothing(trial: WorkerTrial) -> float:
        for step in range(1, 10):
            trial.report(0.5, step)
        return 0.5

    outcome = attempts.run(saves_nothing)
    assert isinstance(outcome, Failed)
    assert (outcome.cause, outcome.error) == ("checkpoint", "CheckpointMissing")
    assert outcome.message.startswith("trials of this study are paused at step 3 and go on later")
    assert attempts.reported == [1, 2, 3, 4, 5]
    assert attempts.run(saves_nothing, None) == Finished(values=(0.5,))
    assert attempts.run(saves_nothing, Slice(until_step=3, checkpoint_by=5, restart=True)) == Paused(step=3)


def test_an_objective_that_returns_in_time_has_finished(attempts: Attempts) -> None:
    assert attempts.run(lambda trial: steps(trial, last=2)) == Finished(values=(2.0,))
    assert attempts.run(lambda trial: steps(trial, last=2)) == Finished(values=(2.0,)), "there is nothing left to train"


def test_a_swallowed_pause_comes_again_and_should_prune_says_so(attempts: Attempts) -> None:
    def stubborn(trial: WorkerTrial) -> float:
        assert not trial.should_prune()
        for step in range(1, 6):
            try:
                trial.report(0.0, step)
                trial.save_checkpoint(step, step)
            except optuna.TrialPruned:
                assert trial.should_prune()
        with pytest.raises(optuna.TrialPruned):
            trial.save_checkpoint(6, 6)
        raise optuna.TrialPruned("its own words")

    assert attempts.run(stubborn) == Paused(step=5)
    assert attempts.reported == [1, 2, 3, 4, 5]


def test_one_that_swallows_it_and_returns_has_finished(attempts: Attempts) -> None:
    def deaf(trial: WorkerTrial) -> float:
        try:
            return steps(trial)
        except optuna.TrialPruned:
            return 0.5

    assert attempts.run(deaf) == Finished(values=(0.5,))


def test_pruning_itself_is_no_pause(attempts: Attempts) -> None:
    def gives_up(trial: WorkerTrial) -> float:
        trial.report(0.0, 1)
        raise optuna.TrialPruned

    assert attempts.run(gives_up) == Finished(pruned=True)


@pytest.mark.parametrize(
    ("step", "error"), [(-1, ValueError), (2**31, ValueError), (None, TypeError), ("x", TypeError)]
)
def test_steps_are_those_that_can_be_reported(attempts: Attempts, step: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="save_checkpoint: step is"):
        attempts.trial().save_checkpoint(0, step)
    assert attempts.said == []


def test_what_cannot_be_saved_is_the_objectives_error(attempts: Attempts) -> None:
    outcome = attempts.run(lambda trial: trial.save_checkpoint({"model": torch.nn.Linear(1, 1)}, 1))
    assert isinstance(outcome, Failed)
    assert (outcome.cause, outcome.error) == ("exception", "TypeError")
    assert "save its state_dict()" in outcome.message


def test_a_full_disk_is_said_and_training_goes_on(attempts: Attempts, capsys: pytest.CaptureFixture[str]) -> None:
    """Not even a slice is refused for it: the objective does what it can."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def big(trial: WorkerTrial) -> float:
        for step in range(1, 9):
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16 if step < 8 else limits[0], limits[1]))
            trial.report(0.0, step)
            trial.save_checkpoint(torch.zeros(1 << 16), step)
        return 0.0

    try:
        assert attempts.run(big) == Paused(step=8)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert attempts.saved == [8]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 7
    assert lines[0].startswith("the checkpoint of step 1 could not be written, training goes on: ")
    assert os.listdir(attempts.folder) == ["t1-8.pt"]


def test_a_stop_waits_until_the_checkpoint_is_written(attempts: Attempts, monkeypatch: pytest.MonkeyPatch) -> None:
    write = file_writers._torch_save

    def slowly(*arguments: Any) -> None:
        attempts.interrupter.stop("t")
        threading.Event().wait(0.12)  # longer than until the signal is sent again
        write(*arguments)

    monkeypatch.setattr(file_writers, "_torch_save", slowly)
    assert attempts.run(lambda trial: steps(trial)) is None
    assert (attempts.reported, attempts.saved) == ([1], [1])
    assert CheckpointWriter.load(attempts.files()) == ({"step": 1}, 1)


def test_a_stop_while_one_is_read_is_no_damage(attempts: Attempts, monkeypatch: pytest.MonkeyPatch) -> None:
    assert attempts.run(steps) == Paused(step=3)

    def slowly(*_: Any, **__: Any) -> None:
        attempts.interrupter.stop("t")
        threading.Event().wait(30)

    monkeypatch.setattr("torch.load", slowly)
    assert attempts.run(steps) is None
    assert attempts.reported == [1, 2, 3]
