"""A rule in another process, where a pruner of the user's own class may hang, crash or eat memory.

The core stays pure. What the rule is told becomes a list of operations, a report becomes a question, and the answer
comes back as an input of the core like any other. Until it has come the study takes no other input, so that every
decision is made at the same place of the fold, however long the pruner takes. ``pruner_host`` carries them out.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from orchestrator.pruning.base import Decision, Outcome, RuleBase
from orchestrator.sampling.staged_storage import StagedStorage

WRITES = ("set_trial_user_attr", "set_trial_system_attr", "set_study_user_attr", "set_study_system_attr")
"""Methods of the storage by which a pruner may write to its study; they are applied from an answer."""


class Operation(NamedTuple):
    """One call for the other process, in the order of the fold.

    Attributes:
        target: ``storage``, or the name of a rule.
        method: Name of the method.
        arguments: Its positional arguments.
        now: The storage's time, in seconds since the epoch; 0 for a rule, which knows no time.
        ahead: Whether a parameter is only sampled ahead.
    """

    target: str
    method: str
    arguments: tuple[Any, ...]
    now: float = 0.0
    ahead: bool = False


class Question(NamedTuple):
    """The question that a study waits to have answered.

    Attributes:
        trial: Number of the trial that has reported.
        operations: Everything since the last question; each ``observe`` among them is answered by a decision.
    """

    trial: int
    operations: tuple[Operation, ...]


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to a question.

    Attributes:
        decisions: By the name of the rule that was asked.
        attributes: By rule: the system attributes that it wants stored with the trial.
        study_attributes: By rule: those that it wants stored with the study.
        writes: What a pruner wrote to the study itself: one of ``WRITES``, and its arguments.
    """

    decisions: dict[str, Decision] = {}
    attributes: dict[str, dict[str, Any]] = {}
    study_attributes: dict[str, dict[str, Any]] = {}
    writes: list[tuple[str, list[Any]]] = []


class Remote:
    """The operations that another process carries out for one study, in order, and whether its answer is awaited."""

    def __init__(self) -> None:
        self._operations: list[Operation] = []
        self._rules: dict[str, RemoteRule] = {}
        self.asked: int | None = None

    def rule(self, target: str, name: str) -> RemoteRule:
        """Makes the rule that stands for the one called ``target`` in the other process."""
        made = self._rules[target] = RemoteRule(self, target, name)
        return made

    def add(self, operation: Operation) -> None:
        """Adds an operation behind the others."""
        self._operations.append(operation)

    def ask(self, trial: int) -> None:
        """Waits for the decisions about a report from now on."""
        self.asked = trial

    def take_question(self) -> Question | None:
        """Returns the question that is to be asked now, once."""
        if self.asked is None or not self._operations:
            return None
        operations, self._operations = self._operations, []
        return Question(self.asked, tuple(operations))

    def take_answer(self, answer: Answer) -> int:
        """Takes in what the rules want stored, and waits no more; returns the trial that was asked about.

        Raises:
            ValueError: no answer is awaited.
        """
        trial, self.asked = self.asked, None
        if trial is None:
            raise ValueError("an answer to a question that was not asked")
        for target, rule in self._rules.items():
            rule.keep(trial, answer.attributes.get(target), answer.study_attributes.get(target))
        return trial


class RemoteRule(RuleBase):
    """Stands for a rule that runs elsewhere: passes on what it is told, and answers nothing itself.

    Args:
        remote: Takes the operations.
        target: What the rule is called there.
        name: For messages.
    """

    def __init__(self, remote: Remote, target: str, name: str) -> None:
        super().__init__(name)
        self._remote = remote
        self._target = target
        self._kept: dict[int, dict[str, Any]] = {}
        self._study: dict[str, Any] = {}

    def ask(self, trial: int, step: int, value: float) -> None:
        """Takes in one report; the decision comes with the answer."""
        self._add("observe", trial, step, value)
        self._remote.ask(trial)

    def keep(self, trial: int, attributes: dict[str, Any] | None, study: dict[str, Any] | None) -> None:
        """Takes what the rule wants stored, as of the last answer."""
        if attributes is not None:
            self._kept[trial] = attributes
        if study is not None:
            self._study = study

    def record(self, trial: int, step: int, value: float) -> None:
        self._add("record", trial, step, value)

    def judge(self, trial: int) -> Decision:
        raise RuntimeError(f"trial {trial}: the rule '{self.name}' is judged in another process")

    def result(self, trial: int, value: float) -> None:
        self._add("result", trial, value)

    def finish(self, trial: int, state: Outcome) -> None:
        self._kept.pop(trial, None)
        self._add("finish", trial, state)

    def attributes(self, trial: int) -> dict[str, Any]:
        return self._kept.get(trial, {})

    def study_attributes(self) -> dict[str, Any]:
        return self._study

    def restore_study(self, attributes: Mapping[str, Any]) -> None:
        self._add("restore_study", dict(attributes))

    def adopt(self, trial: int, attributes: Mapping[str, Any]) -> None:
        self._add("adopt", trial, dict(attributes))

    def _add(self, method: str, *arguments: Any) -> None:
        self._remote.add(Operation(self._target, method, arguments))


class ReplicatedStorage(StagedStorage):
    """A staged storage whose writes are carried out in the other process, too: the pruner there sees the same study.

    Args:
        remote: Takes the operations.
    """

    def __init__(self, remote: Remote) -> None:
        super().__init__()
        self._remote = remote


def _replicated(method: str) -> Callable[..., Any]:
    """Returns the method with a second effect: the other process carries out the same write, unless it is refused."""
    write = getattr(StagedStorage, method)
    signature = inspect.signature(write)

    @functools.wraps(write)
    def replicated(storage: ReplicatedStorage, *arguments: Any, **named: Any) -> Any:
        result = write(storage, *arguments, **named)
        given = signature.bind(storage, *arguments, **named).args[1:]
        storage._remote.add(Operation("storage", method, given, storage.now, storage._ahead_only))
        return result

    return replicated


for _method in (
    *WRITES,
    "create_new_trial",
    "load_trial",
    "set_trial_param",
    "use_ahead",
    "drop_ahead",
    "set_trial_state_values",
    "set_trial_intermediate_value",
    "start_trial",
    "clear_mark",
):
    setattr(ReplicatedStorage, _method, _replicated(_method))
