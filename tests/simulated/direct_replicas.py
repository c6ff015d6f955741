"""Samplers, and pruner classes of the user's own, that are asked in this process."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from typing import Any

from orchestrator.common.clock import Clock
from orchestrator.model.changeset import Changes
from orchestrator.sampling.pruner_replica import PrunerReplica, own_classes
from orchestrator.sampling.questions import Answer, Question, Role, feed_of, role_of
from orchestrator.sampling.sampler_replica import Replica
from orchestrator.sampling.study_copy import StudyCopy
from orchestrator.spec import Spec


class DirectReplicas:
    """Samplers and pruners in this process; each answer comes some time after its question.

    Args:
        clock: Time.
        seconds: How long an answer of a sampler takes.
        pruner_seconds: How long one of a pruner takes.
    """

    def __init__(self, clock: Clock, seconds: float = 0.0, pruner_seconds: float = 0.0) -> None:
        self._clock = clock
        self._seconds: dict[Role, float] = {"sampler": seconds, "pruner": pruner_seconds}
        self._specs: dict[str, tuple[Spec, int]] = {}
        self._replicas: dict[str, dict[Role, Replica | PrunerReplica]] = {}
        self._answers: list[tuple[float, str, Answer]] = []

    def check(self, spec: Spec) -> bool:
        _make(spec, 0)
        return True

    def open(self, spec: Spec, seed: int) -> None:
        self.close(spec.name)
        self._specs[spec.name] = spec, seed

    def feed(self, study: str, changes: Changes) -> None:
        if (feed := feed_of(changes)) is not None:
            for replica in self._replicas.get(study, {}).values():
                replica.apply(_as_sent(feed))

    def ask(self, study: str, questions: Iterable[Question], copy: Callable[[], StudyCopy]) -> None:
        if study not in self._replicas:
            self._replicas[study] = _make(*self._specs[study])
            for replica in self._replicas[study].values():
                replica.load(_as_sent(copy()))
        for question in questions:
            role = role_of(question.kind)
            answer = self._replicas[study][role].answer(_as_sent(question))
            self._answers.append((self._clock.monotonic() + self._seconds[role], study, _as_sent(answer)))

    @property
    def has_news(self) -> bool:
        return any(at <= self._clock.monotonic() for at, _, _ in self._answers)

    def take(self) -> list[tuple[str, Answer | Exception]]:
        now = self._clock.monotonic()
        due = [each for each in self._answers if each[0] <= now]
        self._answers = [each for each in self._answers if each[0] > now]
        return [(study, answer) for _, study, answer in due]

    def close(self, study: str | None = None) -> None:
        self._answers = [each for each in self._answers if study not in (None, each[1])]
        if study is not None:
            self._replicas.pop(study, None)


def _make(spec: Spec, seed: int) -> dict[Role, Replica | PrunerReplica]:
    made: dict[Role, Replica | PrunerReplica] = {"sampler": Replica(spec, seed)}
    if own_classes(spec):
        made["pruner"] = PrunerReplica(spec)
    return made


def _as_sent(value: Any) -> Any:
    """The value as another process gets it: nothing of it is shared."""
    return pickle.loads(pickle.dumps(value))
