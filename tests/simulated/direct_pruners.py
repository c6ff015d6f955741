"""Pruner classes of the user's own, asked in this process."""

from __future__ import annotations

from orchestrator.common.clock import Clock
from orchestrator.sampling.pruner_host import Judge
from orchestrator.sampling.remote_pruner import Answer, Question
from orchestrator.spec import Spec


class DirectPruners:
    """Pruners of the user's own, asked in this process; each answer comes some time after its question."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._judges: dict[str, Judge] = {}
        self._answers: list[tuple[float, str, Answer]] = []

    def check(self, spec: Spec) -> bool:
        Judge(spec)
        return True

    def open(self, spec: Spec) -> None:
        self.close(spec.name)
        self._judges[spec.name] = Judge(spec)

    def ask(self, study: str, question: Question) -> None:
        answer = self._judges[study].answer(question)
        self._answers.append((self._clock.monotonic() + self._seconds, study, answer))

    def take(self) -> list[tuple[str, Answer | Exception]]:
        now = self._clock.monotonic()
        due = [each for each in self._answers if each[0] <= now]
        self._answers = [each for each in self._answers if each[0] > now]
        return [(study, answer) for _, study, answer in due]

    def close(self, study: str | None = None) -> None:
        self._answers = [each for each in self._answers if study not in (None, each[1])]
