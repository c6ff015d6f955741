"""The questions of a study to processes beside the loop, and those that are not answered yet.

A question goes out with the batch that stages it, after the commit, and names its place of the fold. So the study goes
on meanwhile, and the answer is the same whenever it is given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any, Literal

import msgspec
from optuna.trial import FrozenTrial, TrialState

from orchestrator.model.attribute_keys import AHEAD, ASKED, JUDGED
from orchestrator.sampling import questions
from orchestrator.sampling.questions import Answer, Horizon, Key, OpenTrial, PausedTrials, Question
from orchestrator.sampling.staged_storage import StagedStorage


class OpenQuestions:
    """The questions of one study, and what their places in the fold are made of.

    Args:
        storage: The study.

    Attributes:
        open: Numbers of the trials that were asked for, have not ended and do not wait at a rung.
        waiting: Numbers of those that were enqueued and not asked for.
        brackets: Hyperband's (min_resource, max_resource, reduction_factor), once they are settled.
    """

    def __init__(self, storage: StagedStorage) -> None:
        self._storage = storage
        self.open: set[int] = set()
        self.waiting: set[int] = set()
        # Of those that wait at a rung how far each is, and the numbers of all that are as far, as bits.
        self._paused: dict[int, tuple[int, int]] = {}
        self._as_far: dict[tuple[int, int], int] = {}
        self.brackets: tuple[int, int, int] | None = None
        self._turn = 0
        self._pending: dict[Key, Question] = {}
        self._counts: Counter[questions.Kind] = Counter()
        self._of_trial: dict[int, set[Key]] = {}
        self._staged: list[Question] = []

    def awaits(self, kind: Literal["trial", "end"], trial: int) -> bool:
        """Whether a trial was asked for, or the sampler has to be heard about its end, and there is no answer yet."""
        return Key(kind, trial) in self._pending

    @property
    def awaits_verdict(self) -> bool:
        """Whether the rule that decides has still to be heard about a report."""
        if not self._counts["report"]:
            return False
        return any(questions.RULE in question.rules for question in self._pending.values())

    def awaits_kind(self, *kinds: questions.Kind) -> bool:
        """Whether any question of these kinds is not answered yet; of any kind where none is named."""
        return any(self._counts[kind] for kind in kinds) if kinds else bool(self._pending)

    def is_pending(self, key: Key) -> bool:
        """Whether this question is not answered yet."""
        return key in self._pending

    def put(self, question: Question) -> None:
        """Asks a question."""
        self._pending[question.key] = question
        self._counts[question.kind] += 1
        self._of_trial.setdefault(question.trial, set()).add(question.key)
        self._staged.append(question)

    def mark(self, question: Question) -> None:
        """Asks a question that is asked again after a restart: the trial keeps it until the answer is there."""
        self.put(question)
        if question.kind == "report":
            self._mark_reports(question.trial)
        else:
            self._storage.set_late_system_attr(question.trial, ASKED, msgspec.to_builtins(question.horizon))

    def take_staged(self) -> list[Question]:
        """Returns the questions that have arisen since the last call, in order."""
        staged, self._staged = self._staged, []
        return staged

    def unanswered(self) -> list[Question]:
        """Returns everything that is still to be answered, in order: for a process that was started anew."""
        return sorted(self._pending.values(), key=lambda question: question.horizon.turn)

    def take_answer(self, answer: Answer) -> Question | None:
        """Returns the question that is answered; ``None`` where it is not waited for."""
        question = self._pending.pop(answer.key, None)
        if question is None:
            return None
        self._counts[answer.kind] -= 1
        keys = self._of_trial[answer.trial]
        keys.discard(answer.key)
        if not keys:
            del self._of_trial[answer.trial]
        if answer.kind == "report":
            self._mark_reports(answer.trial)
        elif answer.kind != "parameter":
            self._storage.clear_mark(answer.trial, ASKED)
        return question

    def restore(self, trial: FrozenTrial, *, hears_ends: bool, asked: Collection[questions.RuleName]) -> None:
        """Takes in a trial that was just put into the storage, with what is unanswered of it.

        Args:
            trial: As it is stored.
            hears_ends: Whether the sampler is asked about the ends of trials.
            asked: The rules that are asked about reports. One that was, and was changed since, is not waited for.
        """
        if trial.state is TrialState.WAITING:
            self.waiting.add(trial.number)
        elif trial.state is TrialState.RUNNING:
            self.open.add(trial.number)
        if ASKED in trial.system_attrs:
            horizon = msgspec.convert(trial.system_attrs[ASKED], Horizon)
            if trial.state is TrialState.RUNNING:
                self._take_back(Question("trial", trial.number, horizon))
            elif hears_ends and trial.state.is_finished():
                ended = Question("end", trial.number, horizon, state=trial.state.name, values=trial.values)
                self._take_back(ended)
            self._turn = max(self._turn, horizon.turn + 1)
        dropped = False
        for step, plain in trial.system_attrs.get(JUDGED, ()):
            horizon, judging = msgspec.convert(plain, tuple[Horizon, tuple[questions.RuleName, ...]])
            value = trial.intermediate_values[step]
            if rules := tuple(rule for rule in judging if rule in asked):
                self._take_back(Question("report", trial.number, horizon, step=step, value=value, rules=rules))
            else:
                dropped = True
        if dropped:
            self._mark_reports(trial.number)

    def next_turn(self) -> None:
        """Begins the next turn: what is asked from now on is asked after what was asked before."""
        self._turn += 1

    def pause(self, trial: int) -> None:
        """Notes that a trial waits at a rung."""
        if trial in self._paused:
            return
        self.open.discard(trial)
        how = self._open_trial(trial)
        far = self._paused[trial] = how.reports, how.params
        self._as_far[far] = self._as_far.get(far, 0) | 1 << trial

    def go_on(self, trial: int) -> None:
        """Notes that a trial waits there no more."""
        far = self._paused.pop(trial, None)
        if far is not None:
            self.open.add(trial)
            self._as_far[far] &= ~(1 << trial)
            if not self._as_far[far]:
                del self._as_far[far]

    def close(self, trial: int) -> None:
        """Notes that a trial has ended, or waits to be asked for again."""
        self.go_on(trial)
        self.open.discard(trial)

    def begun(self) -> set[int]:
        """Returns the numbers of the trials that were asked for and have not ended, whether or not they wait."""
        return self.open | self._paused.keys()

    def place(self, *, looks_back: bool = True, pauses: bool = True) -> Horizon:
        """Returns the place of the fold at which the study is now.

        Args:
            looks_back: Whether the answer may depend on what other trials did.
            pauses: Whether a trial that waits at a rung is to look as if it had been pruned there.
        """
        count = self._storage.get_n_trials(0)
        if not looks_back:
            return Horizon(self._turn, count, (), self.brackets)
        listed = sorted(self.open if pauses else self.begun())
        waiting = [OpenTrial(number, questions.WAITING) for number in sorted(self.waiting)]
        paused = tuple(
            PausedTrials(*far, bits.to_bytes((bits.bit_length() + 7) // 8, "little"))
            for far, bits in sorted(self._as_far.items())
            if pauses
        )
        begun = [self._open_trial(number) for number in listed]
        return Horizon(self._turn, count, (*begun, *waiting), self.brackets, paused)

    def _open_trial(self, number: int) -> OpenTrial:
        if self.awaits("trial", number):
            return OpenTrial(number, 0, questions.ALL)
        trial = self._storage.get_trial(number)
        first = trial.system_attrs.get(AHEAD, ())
        others = len(trial.distributions) if not first else sum(name not in first for name in trial.distributions)
        return OpenTrial(number, len(trial.intermediate_values), others)

    def _mark_reports(self, trial: int) -> None:
        asked = [self._pending[key] for key in self._of_trial.get(trial, ()) if key.kind == "report"]
        if not asked:
            self._storage.clear_mark(trial, JUDGED)
            return
        plain: list[Any] = [
            [each.step, msgspec.to_builtins((each.horizon, each.rules))]
            for each in sorted(asked, key=lambda each: each.horizon.turn)
        ]
        self._storage.set_late_system_attr(trial, JUDGED, plain)

    def _take_back(self, question: Question) -> None:
        self.put(question)
        self._turn = max(self._turn, question.horizon.turn + 1)
        self._staged.sort(key=lambda question: question.horizon.turn)
