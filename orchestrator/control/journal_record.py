"""A record of a journal: one input of one study. Records of earlier versions are read as well."""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator.engine import inputs
from orchestrator.engine.inputs import Input
from orchestrator.model.silence import Silence
from orchestrator.pruning import Decision
from orchestrator.sampling.judged_trials import SHADOW_PREFIX
from orchestrator.sampling.questions import RULE, SHADOW, Answer, Question, RuleName
from tasks.contract import Event


class Opened(msgspec.Struct, frozen=True, tag=True, tag_field="kind", omit_defaults=True):
    """A study was read from the database, and its engine made.

    ``answered``: the answers of the user's own pruner are recorded, too, ``sampled``: those of the sampler. Without
    these, in recordings of earlier versions, a replay asks again.
    """

    spec: dict[str, Any]
    uid: str
    seed: int
    answered: bool = False
    sampled: bool = False


class Record(msgspec.Struct, frozen=True):
    """One input of one study, at what time in seconds since the epoch."""

    study: str
    at: float
    input: Input | Opened


class Judged(msgspec.Struct, frozen=True, omit_defaults=True):
    """An answer of the user's own pruner as earlier versions recorded it; they asked about one report at a time.

    Attributes:
        decisions: By the name of the rule that was asked.
        attributes: By rule: the system attributes that it wants stored with the trial.
        study_attributes: By rule: those that it wants stored with the study.
        writes: What a pruner wrote to the study itself: name of a method of the storage, and its arguments.
    """

    decisions: dict[RuleName, Decision] = {}
    attributes: dict[RuleName, dict[str, Any]] = {}
    study_attributes: dict[RuleName, dict[str, Any]] = {}
    writes: list[tuple[str, list[Any]]] = []

    def to(self, question: Question) -> Answer:
        """Returns it as the answer to the question that was open then."""
        prefixes = {RULE: "", SHADOW: SHADOW_PREFIX}
        trial = {prefixes[rule] + key: value for rule, kept in self.attributes.items() for key, value in kept.items()}
        study = {
            prefixes[rule] + key: value for rule, kept in self.study_attributes.items() for key, value in kept.items()
        }
        written: dict[str, list[Any]] = {}
        for method, arguments in self.writes:
            written.setdefault(method, []).append(tuple(arguments))
        return Answer(
            question.kind,
            question.trial,
            step=question.step,
            decisions=self.decisions,
            user_attrs=written.get("set_trial_user_attr", []),
            system_attrs=written.get("set_trial_system_attr", [])
            + [(question.trial, key, value) for key, value in trial.items()],
            study_user_attrs={key: value for _, key, value in written.get("set_study_user_attr", [])},
            study_system_attrs={key: value for _, key, value in written.get("set_study_system_attr", [])} | study,
        )


class PrunerAnswered(msgspec.Struct, frozen=True, tag=True, tag_field="kind", omit_defaults=True):
    """The input that was made of it."""

    answer: Judged


class JudgedRecord(msgspec.Struct, frozen=True):
    """A record of such an input. Fields as in ``Record``."""

    study: str
    at: float
    input: PrunerAnswered


def decode(data: bytes) -> Record | JudgedRecord:
    """Returns a record that an earlier version has written.

    Raises:
        ValueError: what it holds is no input.
    """
    try:
        return msgspec.msgpack.decode(data, type=JudgedRecord)
    except msgspec.ValidationError:
        return msgspec.msgpack.decode(data, type=_Call).record()


class _Call(msgspec.Struct, kw_only=True):
    """A record as earlier versions wrote it: the name of a method of theirs, and its arguments."""

    study: str
    call: str
    at: float
    event: Event | None = None
    token: str = ""
    silence: Silence | None = None
    text: str = ""
    spec: dict[str, Any] = {}
    uid: str = ""
    seed: int = 0
    slots: int = 0
    trial: int = 0
    params: dict[str, Any] = {}
    answer: Judged | None = None
    answered: bool = False

    def record(self) -> Record | JudgedRecord:
        """Returns the record as it is written now.

        Raises:
            ValueError: there is no such call, or what it needs is missing.
        """
        match self.call:
            case "open":
                return Record(self.study, self.at, Opened(self.spec, self.uid, self.seed, self.answered))
            case "apply" if self.event is not None:
                return Record(self.study, self.at, inputs.EventReceived(self.event))
            case "answer" if self.answer is not None:
                return JudgedRecord(self.study, self.at, PrunerAnswered(self.answer))
        known: dict[str, Input] = {
            "lose": inputs.AttemptLost(self.token, self.text),
            "note_silence": inputs.SilenceChanged(self.token, self.silence),
            "resend": inputs.TaskMissing(self.token),
            "count_slots": inputs.SlotsCounted(self.slots),
            "tick": inputs.TimePassed(),
            "extend": inputs.SpecChanged(self.spec),
            "enqueue": inputs.TrialEnqueued(self.params),
            "retry": inputs.TrialRetried(self.trial),
            "pause": inputs.StudyPaused(),
            "resume": inputs.StudyResumed(),
            "stop": inputs.StudyStopped(self.text),
        }
        if self.call not in known:
            raise ValueError(f"a record of an unknown call '{self.call}', or one without what it needs")
        return Record(self.study, self.at, known[self.call])
