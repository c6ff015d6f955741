"""Samplers that are asked in this process."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from typing import Any

from orchestrator.common.clock import Clock
from orchestrator.model.changeset import Changes
from orchestrator.sampling.questions import Answer, Question, feed_of
from orchestrator.sampling.sampler_replica import Replica
from orchestrator.sampling.study_copy import StudyCopy
from orchestrator.spec import Spec


class DirectSamplers:
    """Samplers in this process; each answer comes some time after its question.

    Args:
        clock: Time.
        seconds: How long an answer takes.
    """

    def __init__(self, clock: Clock, seconds: float = 0.0) -> None:
        self._clock = clock
        self._seconds = seconds
        self._specs: dict[str, tuple[Spec, int]] = {}
        self._replicas: dict[str, Replica] = {}
        self._answers: list[tuple[float, str, Answer]] = []

    def check(self, spec: Spec) -> bool:
        Replica(spec, 0)
        return True

    def open(self, spec: Spec, seed: int) -> None:
        self.close(spec.name)
        self._specs[spec.name] = spec, seed

    def feed(self, study: str, changes: Changes) -> None:
        if study in self._replicas and (feed := feed_of(changes)) is not None:
            self._replicas[study].apply(_as_sent(feed))

    def ask(self, study: str, questions: Iterable[Question], copy: Callable[[], StudyCopy]) -> None:
        if study not in self._replicas:
            self._replicas[study] = Replica(*self._specs[study])
            self._replicas[study].load(_as_sent(copy()))
        for question in questions:
            answer = self._replicas[study].answer(_as_sent(question))
            self._answers.append((self._clock.monotonic() + self._seconds, study, _as_sent(answer)))

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


def _as_sent(value: Any) -> Any:
    """The value as another process gets it: nothing of it is shared."""
    return pickle.loads(pickle.dumps(value))
