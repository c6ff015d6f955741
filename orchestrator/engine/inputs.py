"""The inputs of an engine, as values: all that can happen to a study. A journal records them."""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator.model.silence import Silence
from orchestrator.sampling.questions import Answer
from tasks.contract import Event


class _Input(msgspec.Struct, frozen=True, tag=True, tag_field="kind", omit_defaults=True):
    """Base of all inputs. In a journal ``kind`` is the name of the class."""


class EventReceived(_Input, frozen=True):
    """A keeper has sent an event of one of the study's attempts."""

    event: Event


class SamplerAnswered(_Input, frozen=True):
    """A process beside the loop has answered a question of the study: its sampler, or its own pruner class."""

    answer: Answer


class LookaheadChanged(_Input, frozen=True):
    """The number of sampled trials that wait for slots has changed; the spec leaves it to the control plane."""

    trials: int


class AttemptLost(_Input, frozen=True):
    """The runner of an attempt is silent for longer than its lease, or known to be dead; ``cause`` says which."""

    token: str
    cause: str


class SilenceChanged(_Input, frozen=True):
    """A trial is silent for far longer than its own pace, or, with ``None``, is so no longer."""

    token: str
    silence: Silence | None = None


class TaskMissing(_Input, frozen=True):
    """The task of an attempt that never started is in no queue."""

    token: str


class SlotsCounted(_Input, frozen=True):
    """The number of slots that take tasks of the study's queue, which a study that promotes trials needs to know."""

    slots: int


class TimePassed(_Input, frozen=True):
    """Nothing has happened but that time has passed."""


class SpecChanged(_Input, frozen=True):
    """The study goes on with a spec (as JSON) that may differ in its budget, its queue and how it is trained."""

    spec: dict[str, Any]


class TrialEnqueued(_Input, frozen=True):
    """A person wants a trial with these parameters."""

    params: dict[str, Any]


class TrialRetried(_Input, frozen=True):
    """A person wants another trial with the parameters of trial ``trial``, which has ended."""

    trial: int


class StudyPaused(_Input, frozen=True):
    """A person wants no new trials to be started."""


class StudyInterrupted(_Input, frozen=True):
    """The ``run`` that looks after the study ends before the study does."""


class StudyResumed(_Input, frozen=True):
    """A person wants a study to go on that was paused, or whose ``run`` was interrupted."""


class StudyStopped(_Input, frozen=True):
    """The study is to be ended early: by a person, or for the ``reason`` given."""

    reason: str = ""


Input = (
    EventReceived
    | SamplerAnswered
    | LookaheadChanged
    | AttemptLost
    | SilenceChanged
    | TaskMissing
    | SlotsCounted
    | TimePassed
    | SpecChanged
    | TrialEnqueued
    | TrialRetried
    | StudyPaused
    | StudyInterrupted
    | StudyResumed
    | StudyStopped
)
