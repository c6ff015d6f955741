"""Questions to processes beside the loop, and their answers, as values.

The engine runs no sampler, and no class of the user's own. It says what it wants to know and at which place of the
fold, goes on with other inputs, and takes the answer in as an input like any other.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec

from orchestrator.model.changeset import Changes
from orchestrator.pruning import Decision

Kind = Literal["trial", "parameter", "end", "report"]
"""What is asked: a new trial's parameters, one parameter of a running trial, the sampler's part in a trial's end; or,
of pruner classes of the user's own, whether a trial goes on after a report."""

Role = Literal["sampler", "pruner"]
"""What answers for a study: its sampler, or its pruner classes of the user's own."""

RuleName = Literal["rule", "shadow"]
RULE: RuleName = "rule"
SHADOW: RuleName = "shadow"
"""The rules of a study that a question may be put to: the one that decides, and the one that is only noted."""

ALL = -1
"""In an ``OpenTrial``: every parameter that the trial has, as it was asked for itself and had not been answered."""

WAITING = -1
"""In an ``OpenTrial``: the trial was enqueued, and had not been asked for."""


def role_of(kind: Kind) -> Role:
    """Returns what answers a question of this kind."""
    return "pruner" if kind == "report" else "sampler"


class OpenTrial(NamedTuple):
    """The progress of an unfinished trial at a place of the fold.

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


class PausedTrials(NamedTuple):
    """Trials that waited at a rung at a place of the fold: there may be thousands, and they do not change meanwhile.

    Attributes:
        reports, params: As in ``OpenTrial``, of each of them.
        numbers: Theirs, as bits: the lowest one of the first byte is trial 0.
    """

    reports: int
    params: int
    numbers: bytes

    def trials(self) -> list[OpenTrial]:
        """Returns them one by one."""
        bits = bin(int.from_bytes(self.numbers, "little"))[:1:-1]
        return [OpenTrial(number, self.reports, self.params, True) for number, bit in enumerate(bits) if bit == "1"]


class Horizon(msgspec.Struct, frozen=True, array_like=True):
    """A place of the fold: the history that an answer may depend on, whatever happens before it is given.

    It is stored with a trial that is asked for. After a restart the trial is asked for again, at this place.

    Attributes:
        turn: Orders the trials that are asked for at the same time.
        count: Number of trials there were.
        open: Those that had not ended and did not wait at a rung; empty for a sampler that looks at no history.
        brackets: Hyperband's (min_resource, max_resource, reduction_factor), once they were settled.
        paused: Those that waited at a rung. Horizons of earlier versions have them in ``open``.
    """

    turn: int
    count: int
    open: tuple[OpenTrial, ...] = ()
    brackets: tuple[int, int, int] | None = None
    paused: tuple[PausedTrials, ...] = ()


class Key(NamedTuple):
    """The identity of a question within its study. Fields as in ``Question``."""

    kind: Kind
    trial: int
    name: str = ""
    step: int = -1


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
        step, value: The report.
        rules: Those that are to judge it.
    """

    kind: Kind
    trial: int
    horizon: Horizon
    name: str = ""
    distribution: str = ""
    state: str = ""
    values: list[float] | None = None
    step: int = -1
    value: float = 0.0
    rules: tuple[RuleName, ...] = ()

    @property
    def key(self) -> Key:
        return Key(self.kind, self.trial, self.name, self.step)

    def without_answer(self) -> Answer:
        """Returns the answer that stands for none."""
        return Answer(self.kind, self.trial, self.name, step=self.step)


class Sampled(NamedTuple):
    """A parameter of the trial: its internal value, and its distribution as JSON."""

    name: str
    value: float
    distribution: str


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to a question, and what the code that was asked wrote to its study, in order.

    Attributes:
        kind, trial, name, step: Those of the question.
        params: Parameters of the trial.
        ahead: Parameters that were sampled ahead for it.
        user_attrs, system_attrs: Attributes of trials: number, key, value.
        study_user_attrs, study_system_attrs: Attributes of the study.
        stopped: Whether the sampler has ended the study.
        error: How the sampler failed, in one line; empty where it did not.
        decisions: Of the rules that have judged a report.
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
    step: int = -1
    decisions: dict[RuleName, Decision] = {}

    @property
    def key(self) -> Key:
        return Key(self.kind, self.trial, self.name, self.step)


class Feed(NamedTuple):
    """The part of committed changes that a sampler or a pruner may look at. Fields as in ``Changes``."""

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
    """Returns what a sampler or a pruner may look at; ``None`` where there is nothing."""
    feed = Feed(*(getattr(changes, name) for name in Feed._fields))
    return feed if any(feed) else None
