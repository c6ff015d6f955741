"""The wire contract: jobs for workers, events from them, answers to them.

Every message is a frozen msgspec struct. Events travel as msgpack (NaN and infinities included, 0.2 us to encode); the
job is JSON, because a Celery message must be readable in Flower. Fields are only ever added, with a default, and
``VERSION`` rises when an old reader could misunderstand a new writer. Both sides read one version back.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from tasks.limits import Digest, FileName, Id, Label, Location, MimeType, Name, Size, Step

VERSION: Final = 4
OLDEST: Final = VERSION - 1
"""The oldest version that is read: an upgraded control plane reads events of earlier workers until their trials have
ended, and new workers read jobs that still wait in a queue."""


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One hyperparameter value as Optuna stores it.

    ``value`` is Optuna's internal representation (a float; for categorical parameters the index of the choice);
    ``distribution`` is what ``optuna.distributions.distribution_to_json`` gives.
    """

    value: float
    distribution: str


class CheckpointRef(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint in the store.

    ``location`` is relative to ``ORCHESTRATOR_CHECKPOINT_URL``, which may differ between hosts; ``digest`` is the
    file's BLAKE2b (32 bytes, hex); ``size`` is in bytes.
    """

    step: Step
    location: Location
    digest: Digest
    size: Size = 0


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a trial that a job trains, where trials are paused and promoted.

    The trainer ends the slice as soon as both a report and a checkpoint at or after ``until_step`` have been made.
    Without any checkpoint by the report of ``checkpoint_by`` the objective cannot be paused: the attempt fails with the
    cause ``checkpoint``. With ``restart`` the report alone ends the slice, and a trial without a checkpoint begins
    again when it is promoted.
    """

    until_step: int
    checkpoint_by: int
    restart: bool = False


class ArtifactRef(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a trial in the artifact store.

    ``id`` is its name there, ``filename`` its name for people, ``size`` in bytes. ``kind`` is ``model`` for the files
    of ``trial.save_model``, ``file`` for those in ``trial.artifact_dir``; ``artifact_id`` makes their ids. With
    ``elsewhere`` the objective has put it into a store of its own, under an id of its own.
    """

    id: FileName
    filename: Label
    mimetype: MimeType
    encoding: MimeType | None = None
    size: Size = 0
    kind: Literal["file", "model", "elsewhere"] = "file"


class TrialView(msgspec.Struct, frozen=True, array_like=True):
    """One trial of a study as an objective may read it.

    ``state`` is the name of Optuna's state; ``params`` are (internal value, index of the distribution in the view);
    times are seconds since the epoch. ``system_attrs`` are those of Optuna and its companions, constraints among them.
    """

    state: str
    values: tuple[float, ...] | None
    params: dict[str, tuple[float, int]]
    user_attrs: dict[str, Any]
    constraints: dict[str, float]
    steps: dict[int, float]
    started: float | None
    completed: float | None
    system_attrs: dict[str, Any] = {}


class StudyView(msgspec.Struct, frozen=True, kw_only=True):
    """A study at one place in the order of events: its trials by number, and their distributions."""

    distributions: tuple[str, ...] = ()
    trials: tuple[TrialView, ...] = ()


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """All that a worker needs to train one attempt of one trial.

    ``params`` are stored already; ``ahead`` were sampled ahead, and are stored when the objective asks for them.
    ``user_attrs`` and ``system_attrs`` are the trial's, ``study_attrs`` and ``study_system_attrs`` the study's. ``id``
    is the trial's id in Optuna's database. ``started`` is the start of its first attempt, in seconds since the epoch;
    ``None`` in the first attempt. ``attempt`` counts from 1. ``token`` identifies the attempt and is the Celery task
    id. ``uid`` is unique to the study for all time. ``checkpoints`` are the trial's, newest first; it goes on from the
    first one that can be read. Without a ``slice`` the trial runs to its end. An attempt that neither reports nor saves
    a checkpoint for ``stall`` seconds, or trains for more than ``limit`` seconds, is stopped, and killed ``grace``
    seconds later. ``again`` says that the job was
    sent before, and that another keeper may be about to begin it. ``requirements`` are what its worker must have
    installed, as in a requirements file.
    """

    study: str
    uid: FileName
    trial: int
    token: FileName
    attempt: int
    objective: str
    directions: tuple[str, ...]
    args: dict[str, Any] = {}
    params: dict[str, Parameter] = {}
    ahead: dict[str, Parameter] = {}
    user_attrs: dict[str, Any] = {}
    study_attrs: dict[str, Any] = {}
    system_attrs: dict[str, Any] = {}
    study_system_attrs: dict[str, Any] = {}
    id: int | None = None
    started: float | None = None
    max_steps: int | None = None
    grace: float = 10.0
    stall: float | None = None
    limit: float | None = None
    checkpoints: tuple[CheckpointRef, ...] = ()
    slice: Slice | None = None
    again: bool = False
    requirements: tuple[str, ...] = ()
    version: int = VERSION


class Started(msgspec.Struct, frozen=True, kw_only=True, tag="started"):
    """The training process took the job. ``gap`` is how long the slot had been idle, in seconds; ``resume_step`` the
    step of the newest checkpoint it was given."""

    host: str
    pid: int
    slot: str
    device: str = "cpu"
    gap: float | None = None
    resume_step: Step | None = None


class Epoch(msgspec.Struct, frozen=True, kw_only=True, tag="epoch"):
    """``trial.report(value, step)``."""

    step: Step
    value: float


class Suggest(msgspec.Struct, frozen=True, kw_only=True, tag="suggest"):
    """The objective asked for a parameter: one that was sampled ahead (``used``), or one that it waits for."""

    name: Name
    distribution: str
    used: bool = False


class ReadStudy(msgspec.Struct, frozen=True, kw_only=True, tag="look"):
    """The objective reads the study's trials, and waits for them."""


class Imported(msgspec.Struct, frozen=True, kw_only=True, tag="imported"):
    """The objective was imported; ``digest`` is that of its source (BLAKE2b, hex)."""

    digest: Digest


class CodeWanted(msgspec.Struct, frozen=True, kw_only=True, tag="code"):
    """The worker lacks the code bundle of the job, and Redis does too."""

    digest: Digest


class Artifact(msgspec.Struct, frozen=True, kw_only=True, tag="artifact"):
    """A file is in the store: of ``trial.save_model``, ``trial.artifact_dir`` or
    ``optuna.artifacts.upload_artifact``."""

    ref: ArtifactRef


class Attribute(msgspec.Struct, frozen=True, kw_only=True, tag="attr"):
    """An attribute of the trial, its value as JSON: ``set_user_attr`` (``kind="user"``), ``set_constraint``
    (``kind="constraint"``), or what a library keeps with the trial (``kind="system"``)."""

    key: Name
    value: str
    kind: Literal["user", "constraint", "system"] = "user"


class StudyAttribute(msgspec.Struct, frozen=True, kw_only=True, tag="study_attr"):
    """An attribute of the study, its value as JSON: ``trial.study.set_user_attr`` (``kind="user"``), or what a library
    keeps with the study (``kind="system"``)."""

    key: Name
    value: str
    kind: Literal["user", "system"] = "user"


class EnqueueTrial(msgspec.Struct, frozen=True, kw_only=True, tag="enqueue"):
    """``trial.study.enqueue_trial``; both as JSON objects."""

    params: str
    user_attrs: str = "{}"


class Finished(msgspec.Struct, frozen=True, kw_only=True, tag="finished"):
    """The objective returned ``values``, or raised ``TrialPruned`` by its own will (``pruned``)."""

    values: tuple[float, ...] = ()
    pruned: bool = False
    measured: dict[str, float] = {}


PEAK_MEMORY: Final = "peak_memory_bytes"
PEAK_GPU_MEMORY: Final = "peak_gpu_memory_bytes"
"""Measurements of an attempt: the most that its processes held at once, and that PyTorch held on its GPUs."""

FailureCause = Literal[
    "exception", "nan", "value", "out_of_memory", "import", "died", "lost", "stalled", "time", "checkpoint", "revoked"
]


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """The attempt failed.

    ``cause``: the objective raised (``exception``), ran out of memory (``out_of_memory``), returned NaN (``nan``) or
    something that is no value (``value``), could not be imported (``import``), saves no checkpoint although its trials
    are paused (``checkpoint``), reported nothing for too long (``stalled``), trained for longer than a trial may
    (``time``), or its process ended (``died``: then ``exit_code``, negative for a signal). Only the control plane
    sets ``lost``, for an attempt that went silent, and ``revoked``, for a trial that a person stopped.
    """

    cause: FailureCause
    error: str
    message: str
    traceback: str = ""
    exit_code: int | None = None
    measured: dict[str, float] = {}


class Stopped(msgspec.Struct, frozen=True, kw_only=True, tag="stopped"):
    """The attempt was stopped by a verdict. Times in seconds, by the monotonic clock of the worker.

    ``latency``: from the report of the verdict's step until the training code was left. ``signal_latency``: from the
    signal until then. ``killed``: the grace period ran out.
    """

    latency: float | None = None
    signal_latency: float | None = None
    killed: bool = False
    measured: dict[str, float] = {}


class Released(msgspec.Struct, frozen=True, kw_only=True, tag="released"):
    """The worker is shutting down and hands the trial back, which is not a failure of the trial."""

    measured: dict[str, float] = {}


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, tag="checkpoint"):
    """``trial.save_checkpoint``: the file is in the store, where every worker can read it."""

    ref: CheckpointRef


class Paused(msgspec.Struct, frozen=True, kw_only=True, tag="paused"):
    """The job's slice has been trained. ``step`` is that of the last report; the trial may go on later, elsewhere."""

    step: Step
    measured: dict[str, float] = {}


class StudyStop(msgspec.Struct, frozen=True, kw_only=True, tag="study_stop"):
    """``trial.study.stop()``."""


class Revoked(msgspec.Struct, frozen=True, kw_only=True, tag="revoked"):
    """Celery reports that the task was revoked; sent by the worker's main process."""

    running: bool


class Unreadable(msgspec.Struct, frozen=True, kw_only=True, tag="unreadable"):
    """Replaces an event that could not be read, so that later events of the runner need not wait for it."""

    reason: str


class Lost(msgspec.Struct, frozen=True, kw_only=True, tag="lost"):
    """The keeper of this runner has ended without an outcome; sent by the worker's main process."""

    how: str


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, tag="alive"):
    """Heartbeat of a keeper, also of an idle one; ``queues`` are the queues of its worker.

    With ``trouble`` its host cannot train for now, and takes no trials. ``quiet``: seconds since its trial has reported
    or saved something, ``None`` where it need not; ``pace``: median of the latest gaps between its reports, in seconds.
    """

    host: str
    slot: str
    device: str = "cpu"
    busy: bool = False
    queues: tuple[str, ...] = ()
    trouble: str = ""
    quiet: float | None = None
    pace: float | None = None


Body = (
    Started
    | Epoch
    | Suggest
    | ReadStudy
    | Imported
    | CodeWanted
    | Attribute
    | StudyAttribute
    | EnqueueTrial
    | Artifact
    | Checkpoint
    | Finished
    | Failed
    | Stopped
    | Paused
    | Released
    | StudyStop
    | Revoked
    | Lost
    | Heartbeat
    | Unreadable
)
Outcome = Finished | Failed | Stopped | Paused | Released
"""The end of an attempt. ``measured`` holds measurements of the worker by name, such as peak memory; a control plane
leaves out those that it does not know."""

TERMINAL = (Finished, Failed, Stopped, Paused, Released)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the stream.

    ``token`` identifies the attempt, ``runner`` the start of it that sent this; ``seq`` numbers the runner's events
    from 1 without gaps. Events with ``seq`` 0 (``alive``, ``revoked``, ``lost``) are never confirmed or sent again.
    """

    token: Id
    runner: Id
    seq: Size
    body: Body
    version: int = VERSION


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """Announcement of the active control plane: the version of its jobs, its term, its settings; 0 is not said."""

    version: int = VERSION
    term: int = 0
    heartbeat: float = 0.0
    lease: float = 0.0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Decision of the control plane to stop an attempt, for ``cause``, at ``step``."""

    cause: str
    step: int | None = None


class Confirmation(msgspec.Struct, frozen=True, kw_only=True):
    """The committed state of an attempt: the runner bound to it, its highest contiguous event, and the verdict."""

    runner: str
    seq: int
    verdict: Verdict | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a ``suggest`` or a ``look``; with ``error`` there is no value."""

    runner: str
    seq: int
    name: str
    value: float = 0.0
    error: str = ""
    study: StudyView | None = None
