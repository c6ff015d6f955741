"""One simulated attempt: what its objective is given, and what is published of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from optuna.distributions import BaseDistribution, FloatDistribution, distribution_to_json

from orchestrator.engine.outputs import Sweep
from tasks.codec import artifact_id, is_artifact_of
from tasks.contract import (
    Artifact,
    ArtifactRef,
    Body,
    Checkpoint,
    CheckpointRef,
    Epoch,
    Event,
    Failed,
    Finished,
    Job,
    Paused,
    Reply,
    Suggest,
)
from tasks.trainer.slicing import CheckpointMissing, SliceTracker, TrialPaused

Talk = Generator[Body, Any, Any]


class Files:
    """Where checkpoints and artifacts lie: what was saved and not deleted."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.unreadable: set[str] = set()
        self.artifacts: set[str] = set()
        self._count = itertools.count()

    def save(self, token: str, step: int) -> str:
        """Returns the location of a new file; as on a worker, no attempt writes one twice."""
        name = location = f"study/{token}-{step}.pt"
        count = 1
        while location in self.there:
            count += 1
            location = f"{name.removesuffix('.pt')}.{count}.pt"
        self.there.add(location)
        return location

    def keep(self, token: str) -> str:
        """Returns the id of a new file in the artifact store."""
        id = artifact_id(token, f"{next(self._count):012x}")
        self.artifacts.add(id)
        return id

    def drop_artifacts(self, ids: Iterable[str], sweep: Sweep | None) -> None:
        for id in ids:
            assert id in self.artifacts, f"{id} is deleted a second time"
            self.artifacts.remove(id)
        if sweep is not None:
            self.artifacts -= {
                id for id in self.artifacts - sweep.kept if any(is_artifact_of(token, id) for token in sweep.attempts)
            }

    def drop(self, locations: Iterable[str]) -> None:
        for location in locations:
            assert location in self.there, f"{location} is deleted a second time"
            self.there.remove(location)


class Course:
    """One attempt, seen from the objective."""

    def __init__(self, job: Job, files: Files) -> None:
        self.job = job
        self.number = job.trial
        self.slicing = SliceTracker(job.slice)
        self.missed: list[str] = []
        self._files = files
        self._stored = {name: param.value for name, param in job.params.items()}

    def suggest(self, name: str, distribution: BaseDistribution) -> Generator[Suggest, Reply, Any]:
        """As the worker's trial does it: stored, sampled ahead, or asked for."""
        text = distribution_to_json(distribution)
        if name not in self._stored:
            ahead = self.job.ahead.get(name)
            used = ahead is not None and ahead.distribution == text
            reply = yield Suggest(name=name, distribution=text, used=used)
            if used and ahead is not None:
                self._stored[name] = ahead.value
            elif reply.error:
                raise ValueError(reply.error)
            else:
                self._stored[name] = reply.value
        return distribution.to_external_repr(self._stored[name])

    def float(self, name: str, low: float = 0.0, high: float = 1.0) -> Generator[Suggest, Reply, float]:
        return (yield from self.suggest(name, FloatDistribution(low, high)))

    def report(self, step: int, value: float) -> Talk:
        yield Epoch(step=step, value=value)
        self.slicing.reported(step)
        self.slicing.check()

    def save(self, step: int) -> Talk:
        location = self._files.save(self.job.token, step)
        yield Checkpoint(ref=CheckpointRef(step=step, location=location, digest="0" * 64, size=1))
        self.slicing.saved(step)
        self.slicing.check()

    def keep(self, filename: str = "model.pt", kind: Literal["file", "model"] = "model") -> Talk:
        """Keeps a file as a worker does: first it is there, then it is told."""
        yield Artifact(ref=self.ref(filename, kind))

    def ref(self, filename: str, kind: Literal["file", "model"] = "model") -> ArtifactRef:
        """Returns what is said of a file that has just been written."""
        id = self._files.keep(self.job.token)
        return ArtifactRef(id=id, filename=filename, mimetype="application/octet-stream", size=1, kind=kind)

    def load(self) -> int:
        """Returns the step of the newest checkpoint that can be read; 0 where there is none."""
        for ref in self.job.checkpoints:
            if ref.location not in self._files.there:
                self.missed.append(ref.location)
            elif ref.location not in self._files.unreadable:
                self.slicing.saved(ref.step)
                return ref.step
        return 0


Objective = Callable[[Course], Talk]


@dataclass(eq=False)
class Run:
    """One start of one attempt. ``said`` is everything it ever published."""

    course: Course
    runner: str
    talk: Talk
    said: list[Event] = field(default_factory=list)
    waiting: bool = False
    reply: Reply | None = None

    @property
    def job(self) -> Job:
        return self.course.job

    def event(self, body: Body) -> Event:
        event = Event(token=self.job.token, runner=self.runner, seq=len(self.said) + 1, body=body)
        self.said.append(event)
        return event

    def next(self) -> Body:
        """What the training says next; its last word is a value or a failure."""
        try:
            reply, self.reply = self.reply, None
            body: Body = next(self.talk) if reply is None else self.talk.send(reply)
        except StopIteration as end:
            values = end.value if isinstance(end.value, tuple) else (end.value,)
            return Finished(values=tuple(map(float, values)))
        except TrialPaused:
            return Paused(step=self.course.slicing.last_report)
        except CheckpointMissing as error:
            return Failed(cause="checkpoint", error=type(error).__name__, message=str(error))
        except ValueError as error:
            return Failed(cause="exception", error=type(error).__name__, message=str(error))
        return body


@dataclass(eq=False)
class Slot:
    """Where runs take place, one after the other."""

    name: str
    run: Run | None = None


def learning(course: Course, epochs: int = 4) -> Talk:
    """Reports a curve that is the better (smaller) the smaller x is; returns its last value."""
    x = yield from course.float("x")
    value = 1.0
    for step in range(epochs):
        value = x + 1.0 / (step + 1)
        yield Epoch(step=step, value=value)
    return value
