"""Messages between a keeper and its trainer, beside the events that the keeper passes on as they are.

Both have one version: the keeper starts the trainer from its own installation.
"""

from __future__ import annotations

import msgspec

from tasks.contract import (
    Artifact,
    Attribute,
    EnqueueTrial,
    Epoch,
    Failed,
    Finished,
    Imported,
    Job,
    Paused,
    ReadStudy,
    StudyAttribute,
    StudyStop,
    StudyView,
    Suggest,
)


class TrainJob(msgspec.Struct, frozen=True, kw_only=True, tag="run"):
    """Keeper to trainer: train this job.

    ``log`` is the file for the objective's output. ``checkpoints`` are those of the job, in its order, as local paths;
    an empty one could not be fetched. New ones go into the folder ``scratch``, models and other files below
    ``artifacts``. ``code`` are the import folders of the job's code bundle, where it has one.
    """

    job: Job
    log: str
    scratch: str
    checkpoints: tuple[str, ...] = ()
    artifacts: str = ""
    code: tuple[str, ...] = ()


class Stop(msgspec.Struct, frozen=True, kw_only=True, tag="stop"):
    """Keeper to trainer: leave the training code of attempt ``token`` now."""

    token: str


class Shutdown(msgspec.Struct, frozen=True, kw_only=True, tag="end"):
    """Keeper to trainer: there are no more jobs; end as a program ends."""


class Question(msgspec.Struct, frozen=True, kw_only=True, tag="asked"):
    """Trainer to keeper: a thread of the objective waits for the answer, which has the same ``id``."""

    id: int
    question: Suggest | ReadStudy


class SuggestReply(msgspec.Struct, frozen=True, kw_only=True, tag="suggested"):
    """Keeper to trainer: the answer to question ``id``."""

    id: int
    name: str
    value: float
    error: str = ""


class StudyReply(msgspec.Struct, frozen=True, kw_only=True, tag="shown"):
    """Keeper to trainer: the study's trials, for question ``id``; ``error`` where they cannot be sent."""

    id: int
    study: StudyView = StudyView()
    error: str = ""


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """Trainer to keeper: ready for the next job; unless ``healthy``, replace me for the reason ``why``."""

    healthy: bool = True
    why: str = ""


class Stale(msgspec.Struct, frozen=True, kw_only=True, tag="stale"):
    """Trainer to keeper: none of the job was run, for the reason ``why``; give it to a fresh process."""

    why: str


class Preloaded(msgspec.Struct, frozen=True, kw_only=True, tag="preloaded"):
    """Trainer to keeper: the objective of the preload was imported, or ``error`` says why not."""

    objective: str
    error: str = ""


class CheckpointSaved(msgspec.Struct, frozen=True, kw_only=True, tag="saved"):
    """Trainer to keeper: a checkpoint is on this host's disk, in ``file`` within the scratch folder."""

    step: int
    file: str
    digest: str
    size: int


class ModelSaved(msgspec.Struct, frozen=True, kw_only=True, tag="saved_model"):
    """Trainer to keeper: ``trial.save_model(…, name)`` has written a model, as ``file`` in the folder for models."""

    name: str
    file: str


class TrialLeft(msgspec.Struct, frozen=True, kw_only=True, tag="left"):
    """Trainer to keeper: the training code of ``token`` has been left because of a ``Stop``; ``measured`` is as in the
    events that end an attempt."""

    token: str
    measured: dict[str, float] = {}


ToTrainer = TrainJob | Stop | Shutdown | SuggestReply | StudyReply
FromTrainer = (
    Epoch
    | Suggest
    | Question
    | Imported
    | Attribute
    | StudyAttribute
    | EnqueueTrial
    | Artifact
    | CheckpointSaved
    | ModelSaved
    | Finished
    | Failed
    | Paused
    | StudyStop
    | Ready
    | Stale
    | Preloaded
    | TrialLeft
)
