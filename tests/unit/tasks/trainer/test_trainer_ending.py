"""A training process that is not needed any more ends as a program ends; one that does not is ended."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from trainer_harness import running_trainer

from tasks.codec import decode_from_trainer
from tasks.contract import Finished, Job
from tasks.framed_socket import SocketClosed
from tasks.keeper import trainer_supervisor
from tasks.keeper.slot import Slot, SlotTable
from tasks.keeper.trainer_supervisor import TrainerSupervisor
from tasks.objective_allowlist import ALLOW_ALL
from tasks.objective_path import OBJECTIVE_PATH
from tasks.trainer_messages import FromTrainer, Preloaded, Ready, TrainJob

SOURCE = """
import atexit
import csv
import os
import threading
import time

file = open("results.csv", "a", newline="")
writer = csv.writer(file)
with open("imports.txt", "a") as imports:
    imports.write("1")

@atexit.register
def summary():
    with open("summary.txt", "a") as out:
        out.write("done\\n")
        print("the last word", flush=True)

def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    writer.writerow([x])
    return x

def waited_for(trial):
    def work():
        time.sleep(0.2)
        with open("thread.txt", "w") as out:
            out.write("through")
    threading.Thread(target=work).start()
    return 0.5

def endless(trial):
    threading.Thread(target=time.sleep, args=(600,), name="endless").start()
    return 0.5

def known(trial):
    return 0.5

def dies(trial):
    os._exit(3)
"""


def test_buffers_are_written_and_what_was_registered_runs(tmp_path: Path) -> None:
    with running_trainer(tmp_path, SOURCE) as it:
        for _ in range(5):
            assert it.train() == Ready()
        assert it.process.end(60.0) == 0
        assert it.log == "the last word\n"
    assert (tmp_path / "results.csv").read_text() == "0.5\n" * 5
    assert (tmp_path / "summary.txt").read_text() == "done\n"


def test_its_threads_are_waited_for(tmp_path: Path) -> None:
    with running_trainer(tmp_path, SOURCE) as it:
        it.send("waited_for")
        for frame in it.frames():
            if isinstance(frame, Finished):
                break
        assert it.process.end(60.0) == 0
    assert (tmp_path / "thread.txt").read_text() == "through"


def test_one_that_does_not_end_is_ended(tmp_path: Path) -> None:
    with running_trainer(tmp_path, SOURCE) as it:
        assert it.train("endless") == Ready(healthy=False, why="the trial left threads behind: endless")
        assert it.process.end(0.5) == -signal.SIGKILL


class Keeping:
    """The trainers of a slot, and a keeper that a test plays."""

    def __init__(self, folder: Path) -> None:
        (folder / "train.py").write_text(SOURCE)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ORCHESTRATOR_")}
        self._folder = folder
        self.heard: list[FromTrainer] = []
        slot = Slot(
            index=0,
            name="w@h/0",
            mark=f"{folder.name}-{os.getpid()}",
            device="cpu",
            environment=environment | {OBJECTIVE_PATH: str(folder)},
            data=folder / "data",
            checkpoints="",
            artifacts="",
            allowlist=ALLOW_ALL,
        )
        self.trainers = TrainerSupervisor(slot, SlotTable(1).counts(0), lambda _: None)

    def run(self, objective: str) -> None:
        """Has a job trained, until a trainer is ready for the next one."""
        job = Job(
            study="s", uid="u", trial=0, token="t", attempt=1, objective=f"train:{objective}", directions=("minimize",)
        )
        log, scratch, artifacts = (str(self._folder / name) for name in ("log", "scratch", "artifacts"))
        self.trainers.hand_out(TrainJob(job=job, log=log, scratch=scratch, artifacts=artifacts))
        self.heard.clear()
        while not self.trainers.current.ready:
            try:
                frames = [decode_from_trainer(data) for data in self.trainers.current.wire.receive()]
            except SocketClosed:
                self.trainers.current.wait()
                self.trainers.renew()
                continue
            self.heard += frames
            for frame in frames:
                if isinstance(frame, Ready | Preloaded):
                    self.trainers.handle(frame)


@pytest.fixture
def keeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keeping]:
    monkeypatch.chdir(tmp_path)
    it = Keeping(tmp_path)
    yield it
    it.trainers.dismiss()
    it.trainers.await_ended()


def test_one_that_is_replaced_is_named_and_the_next_one_imports_ahead(
    keeping: Keeping, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_supervisor, "END_SECONDS", 0.5)
    caplog.set_level(logging.INFO)
    keeping.run("known")
    assert (tmp_path / "imports.txt").read_text() == "1"
    first = keeping.trainers.current.pid
    keeping.run("endless")
    assert keeping.trainers.current.pid != first
    assert keeping.heard[-1] == Preloaded(objective="train:endless"), "before there is a job for it"
    assert (tmp_path / "imports.txt").read_text() == "11"
    assert caplog.messages == ["the trainer is replaced: the trial left threads behind: endless"]
    keeping.run("known")
    assert (tmp_path / "imports.txt").read_text() == "11"
    assert not Path(f"/proc/{first}").exists(), "the one before it has ended when the next job begins"


def test_one_that_takes_the_place_of_one_that_died_imports_ahead_too(keeping: Keeping, tmp_path: Path) -> None:
    keeping.run("dies")
    assert keeping.heard[-1] == Preloaded(objective="train:dies")
    assert (tmp_path / "imports.txt").read_text() == "11"


def test_one_that_is_dismissed_ends_as_a_program_if_it_has_run_anything(keeping: Keeping, tmp_path: Path) -> None:
    fresh = keeping.trainers.current
    keeping.trainers.dismiss()
    keeping.trainers.await_ended()
    assert fresh.wait() == -signal.SIGKILL
    keeping.trainers.renew()
    keeping.run("known")
    used = keeping.trainers.current
    keeping.trainers.dismiss()
    keeping.trainers.await_ended()
    assert used.wait() == 0
    assert (tmp_path / "summary.txt").read_text() == "done\n"


def test_an_attempt_that_was_stopped_and_is_sent_again_is_trained(tmp_path: Path) -> None:
    """As after a suspension: its task is the same, and so is the training process."""
    source = (
        "import time\ndef objective(trial, wait):\n    trial.report(0.5, 0)\n    time.sleep(wait)\n    return 0.5\n"
    )
    with running_trainer(tmp_path, source) as trainer:
        trainer.job = {"token": "t1"}
        trainer.train(stop_at=0, wait=60.0)
        assert not trainer.of(Finished)
        trainer.train(wait=0.0)
        assert trainer.of(Finished)
