"""A real training process, driven by a test instead of a keeper: it gets jobs, and its questions are answered."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from tasks.codec import decode_from_trainer
from tasks.contract import Epoch, Job, ReadStudy, StudyView, Suggest
from tasks.keeper.trainer_process import TrainerProcess
from tasks.objective_path import OBJECTIVE_PATH
from tasks.trainer_messages import FromTrainer, Question, Ready, Stale, Stop, StudyReply, SuggestReply, TrainJob


class TrainerHarness:
    """One training process.

    Args:
        folder: Takes the objective's module ``train``, logs and whatever the trials leave.
        source: The module's text.
        preload: Objective to import at once, or empty.
        answer: Gives the value of a parameter; 0.5 unless given.
        shown: The study that its objectives see; one without trials unless given.
        variables: Set in its environment.

    Attributes:
        heard: What the training process has said.
        job: Fields of the jobs that are sent next.
        code: Import folders of their code bundle.
    """

    def __init__(
        self,
        folder: Path,
        source: str,
        preload: str = "",
        answer: Callable[[Suggest], float] = lambda _: 0.5,
        shown: StudyView | None = None,
        variables: Mapping[str, str] = {},
    ) -> None:
        self.folder = folder
        self.heard: list[FromTrainer] = []
        self.job: dict[str, Any] = {}
        self.code: tuple[str, ...] = ()
        self._answer = answer
        self._study = shown or StudyView()
        self._count = 0
        (folder / "train.py").write_text(source)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ORCHESTRATOR_")}
        environment = kept | {OBJECTIVE_PATH: str(folder), **variables}
        before = os.getcwd()
        os.chdir(folder)
        try:
            self.process = TrainerProcess(environment, uuid.uuid4().hex, folder / "slot.log", preload)
        finally:
            os.chdir(before)

    @property
    def log(self) -> str:
        """What the last trial has written."""
        return (self.folder / f"trial-{self._count}.log").read_text()

    def train(self, objective: str = "objective", stop_at: int | None = None, **args: Any) -> Ready | Stale:
        """Has a trial trained, told to stop at the report of step ``stop_at``; returns the last word."""
        self.heard.clear()
        self.send(objective, **args)
        for frame in self.frames():
            if isinstance(frame, Epoch) and frame.step == stop_at:
                self.process.send(Stop(token=f"t{self._count}"))
            if isinstance(frame, Ready | Stale):
                return frame
        raise AssertionError(f"the training process has ended: {self.log}")

    def send(self, objective: str, **args: Any) -> None:
        """Sends a job."""
        self._count += 1
        job = msgspec.structs.replace(
            Job(
                study="s",
                uid="u",
                trial=self._count,
                token=f"t{self._count}",
                attempt=1,
                objective=objective if ":" in objective else f"train:{objective}",
                directions=("minimize",),
                args=args,
            ),
            **self.job,
        )
        log = self.folder / f"trial-{self._count}.log"
        scratch, artifacts = self.folder / "scratch", self.folder / f"artifacts-{self._count}"
        fetched = tuple(str(scratch / each.location) for each in job.checkpoints)
        self.process.send(
            TrainJob(
                job=job,
                log=str(log),
                scratch=str(scratch),
                artifacts=str(artifacts),
                checkpoints=fetched,
                code=self.code,
            )
        )

    def frames(self) -> Iterator[FromTrainer]:
        """Yields what is said, until the process has ended; questions are answered."""
        with contextlib.suppress(ConnectionError):
            while True:
                for frame in map(decode_from_trainer, self.process.wire.receive()):
                    self.heard.append(frame)
                    if isinstance(frame, Question):
                        self.process.send(self._answer_to(frame.id, frame.question))
                    yield frame

    def of(self, kind: type[Any]) -> list[Any]:
        """What was said of a kind."""
        return [frame for frame in self.heard if isinstance(frame, kind)]

    @property
    def outcome(self) -> msgspec.Struct:
        """How the trial ended."""
        return self.heard[-2]

    def close(self) -> None:
        """Ends it at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()

    def _answer_to(self, number: int, question: Suggest | ReadStudy) -> SuggestReply | StudyReply:
        if isinstance(question, ReadStudy):
            return StudyReply(id=number, study=self._study)
        return SuggestReply(id=number, name=question.name, value=self._answer(question))


@contextlib.contextmanager
def running_trainer(folder: Path, source: str, **more: Any) -> Iterator[TrainerHarness]:
    """A training process for the span of a test."""
    made = TrainerHarness(folder, source, **more)
    try:
        yield made
    finally:
        made.close()
