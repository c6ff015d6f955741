"""Questions to a study's sampler, and its answers, as values.

The engine never runs a sampler. It says what it wants to know and at which place of the fold, goes on with other
inputs, and takes the answer in as an input like any other.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec

from orchestrator.model.changeset import Changes

Kind = Literal["trial", "parameter", "end"]
"""What is asked: a new trial's parameters, one parameter of a running trial, or the sampler's part in a trial's end."""

ALL = -1
"""In an ``OpenTrial``: every parameter that the trial has, as it was asked for itself and had not been answered."""

WAITING = -1
"""In an ``OpenTrial``: the trial was enqueued, and had not been asked for."""


class OpenTrial(NamedTuple):
    """How far a trial that had not ended was at a place of the fold.

    Attributes:
        number: The trial's.
        reports: Number of its intermediate values, or ``WAITING``.
        params: Number of its parameters that were not sampled ahead, or ``ALL``.
        paused: Whether it waited at a rung, where the sampler takes it for pruned.
    """

    number: int
    reports: int
    params: int = 0
    paused: bool = False


class Horizon(msgspec.Struct, frozen=True, array_like=True):
    """A place of the fold: the history that an answer may depend on, whatever happens before it is given.

    It is stored with a trial that is asked for. After a restart the trial is asked for again, at this place.

    Attributes:
        turn: Orders the trials that are asked for at the same time.
        count: Number of trials there were.
        open: Those that had not ended; empty for a sampler that looks at no history.
        brackets: Hyperband's (min_resource, max_resource, reduction_factor), once they were settled.
    """

    turn: int
    count: int
    open: tuple[OpenTrial, ...] = ()
    brackets: tuple[int, int, int] | None = None


class Question(msgspec.Struct, frozen=True, omit_defaults=True):
    """One question.

    Attributes:
        kind: What is asked.
        trial: Number of the trial.
        horizon: The place of the fold.
        name: Name of the parameter.
        distribution: The parameter's, as JSON.
        state: The state in which the trial ends, by Optuna's name.
        values: The values with which it ends.
    """

    kind: Kind
    trial: int
    horizon: Horizon
    name: str = ""
    distribution: str = ""
    state: str = ""
    values: list[float] | None = None


class Sampled(NamedTuple):
    """A parameter of the trial: its internal value, and its distribution as JSON."""

    name: str
    value: float
    distribution: str


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to a question: what the sampler wrote to its study, in order.

    Attributes:
        kind, trial, name: Those of the question.
        params: Parameters of the trial.
        ahead: Parameters that were sampled ahead for it.
        user_attrs, system_attrs: Attributes of trials: number, key, value.
        study_user_attrs, study_system_attrs: Attributes of the study.
        stopped: Whether the sampler has ended the study.
        error: How the sampler failed, in one line; empty where it did not.
    """

    kind: Kind
    trial: int
    name: str = ""
    params: list[Sampled] = []
    ahead: list[Sampled] = []
    user_attrs: list[tuple[int, str, Any]] = []
    system_attrs: list[tuple[int, str, Any]] = []
    study_user_attrs: dict[str, Any] = {}
    study_system_attrs: dict[str, Any] = {}
    stopped: bool = False
    error: str = ""


class Feed(NamedTuple):
    """The part of committed changes that a sampler may look at. Fields as in ``Changes``."""

    new_trials: dict[int, float]
    enqueued: set[int]
    starts: dict[int, float]
    ends: dict[int, Any]
    params: list[tuple[int, str, float, str]]
    values: list[tuple[int, int, float]]
    user_attrs: dict[tuple[int, str], Any]
    system_attrs: dict[tuple[int, str], Any]
    records: dict[tuple[int, str], Any]
    late_user_attrs: dict[tuple[int, str], Any]
    study_user_attrs: dict[str, Any]
    study_system_attrs: dict[str, Any]


def feed_of(changes: Changes) -> Feed | None:
    """Returns what a sampler may look at; ``None`` where there is nothing."""
    feed = Feed(*(getattr(changes, name) for name in Feed._fields))
    return feed if any(feed) else None
