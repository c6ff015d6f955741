"""Progress events for live views. Their delivery is not guaranteed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from tasks import codec


class Best(msgspec.Struct, frozen=True, kw_only=True):
    """The best completed trial so far."""

    number: int
    value: float
    params: dict[str, Any]


class Leading(msgspec.Struct, frozen=True, kw_only=True):
    """The unfinished trial whose last report, of ``step``, is better than the best trial and all other reports."""

    number: int
    value: float
    step: int
    params: dict[str, Any]


class RungLine(msgspec.Struct, frozen=True, kw_only=True):
    """A rung: its step, how many trials have ``reached`` it, and how many are ``on_it``, where they take no slot;
    ``next_up`` is the first that may go on from there, and does so as soon as a slot is free where it is ``ready``."""

    step: int
    reached: int
    on_it: int
    next_up: int | None = None
    ready: bool = False


class Optimum(msgspec.Struct, frozen=True, kw_only=True):
    """A completed trial that no other one beats in every objective."""

    number: int
    values: tuple[float, ...]
    params: dict[str, Any]


class SlotLine(msgspec.Struct, frozen=True, kw_only=True):
    """The work of one slot. ``epochs`` is how far its trial is trained, ``step`` the last one reported.

    ``silent`` are the seconds since the trial's last report where they far exceed ``pace``, its usual pause between two
    reports; else both are ``None``. ``expected`` is how its trial is expected to end, ``spread`` the standard
    deviation of that, where the rule predicts it.
    """

    slot: str
    device: str
    trial: int
    attempt: int
    epochs: int = 0
    step: int | None = None
    value: float | None = None
    silent: float | None = None
    pace: float | None = None
    expected: float | None = None
    spread: float | None = None


class _Totals(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of a study as a whole.

    ``waiting`` are trials that wait for a slot, ``enqueued`` those that wait to be asked for, ``paused`` those that
    wait at a rung to be promoted; ``begun`` have had a slot, ended or not. ``epochs_saved`` are those that pruned
    trials did not train, where ``max_steps`` is known. Of several objectives there is no ``best``, but a Pareto front
    of ``front`` trials. Where a rule ``promotes`` trials, there are ``rungs``, and ``rest`` is about how many epochs
    are left, where that can be told. ``epoch_budget`` are the epochs after which the study ends, where its spec limits
    them. ``elapsed`` are the seconds since it last began to run, which only the database knows.
    """

    study: str
    state: str
    reason: str
    budget: int = 0
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    running: int = 0
    waiting: int = 0
    epochs: int = 0
    max_steps: int | None = None
    epochs_saved: int = 0
    best: Best | None = None
    paused: int = 0
    front: int | None = None
    enqueued: int = 0
    promotes: bool = False
    leading: Leading | None = None
    rungs: tuple[RungLine, ...] = ()
    epoch_budget: int | None = None
    rest: int | None = None
    begun: int = 0
    elapsed: float | None = None

    @property
    def ended(self) -> int:
        """Trials that have ended."""
        return self.complete + self.pruned + self.failed

    @property
    def leader(self) -> Leading | None:
        """The unfinished trial that leads, where a person wants to know: trials hardly ever end, or none has yet."""
        return self.leading if self.promotes or self.best is None else None


class Progress(_Totals, frozen=True, kw_only=True, tag="progress"):
    """The progress of a study, with the work of every slot.

    ``at`` is when it was told, in seconds since the epoch by the control plane's clock; ``None`` where it was not sent.
    """

    slots: tuple[SlotLine, ...] = ()
    at: float | None = None


class _ShortLine(SlotLine, frozen=True, kw_only=True, array_like=True):
    """A ``SlotLine`` in half the bytes."""


class ProgressChange(_Totals, frozen=True, kw_only=True, tag="progress_change"):
    """The progress of a study with many slots: only the lines that changed since the notice before.

    ``left``: the trials that have no slot any more. Readers of earlier versions pass over it: they wait for the next
    ``Progress``, which comes now and then.
    """

    changed: tuple[_ShortLine, ...] = ()
    left: tuple[int, ...] = ()

    def applied_to(self, before: Progress) -> Progress:
        """Returns the whole progress after this change."""
        lines = {line.trial: line for line in before.slots if line.trial not in self.left}
        lines |= {each.trial: SlotLine(**msgspec.structs.asdict(each)) for each in self.changed}
        totals = {name: getattr(self, name) for name in _Totals.__struct_fields__}
        return Progress(**totals, slots=tuple(lines[trial] for trial in sorted(lines)))


def change(progress: Progress, left: Iterable[int]) -> ProgressChange:
    """Returns a progress that holds only the lines that changed as a change; ``left``: the trials without a slot."""
    totals = {name: getattr(progress, name) for name in _Totals.__struct_fields__}
    changed = tuple(_ShortLine(**msgspec.structs.asdict(line)) for line in progress.slots)
    return ProgressChange(**totals, changed=changed, left=tuple(sorted(left)))


class TrialEnded(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """A trial has ended.

    ``values`` are one for each objective, or none; ``detail`` is one line: why it was pruned, or how it failed;
    ``seconds`` since its start; ``on_slot`` are those in which it had a slot, ``None`` where that is not known.
    """

    number: int
    state: str
    values: tuple[float, ...]
    epochs: int
    seconds: float
    params: dict[str, Any]
    detail: str = ""
    traceback: str = ""
    on_slot: float | None = None


class OtherSource(msgspec.Struct, frozen=True, kw_only=True, tag="other_source"):
    """A trial trains with other source than the study's first one did: said once for each source.

    ``number`` is the trial's, ``first`` that of the first one; ``digest`` is that of the trial's source.
    """

    number: int
    first: int
    digest: str

    def text(self) -> str:
        """Returns it in one line."""
        what = "is trained again with other source than before"
        if self.number != self.first:
            what = f"trains with other source than trial {self.first}"
        return f"trial {self.number} {what}: the objective's code has changed since the study began"


class TakenUp(msgspec.Struct, frozen=True, kw_only=True, tag="taken_up"):
    """Trials were RUNNING without an attempt, because another program had asked for them: each is attempted here."""

    numbers: tuple[int, ...]

    def text(self) -> str:
        """Returns it in one line."""
        first = ", ".join(map(str, self.numbers[:_LISTED]))
        more = f" and {len(self.numbers) - _LISTED} more" if len(self.numbers) > _LISTED else ""
        which, them = ("trial", "it is") if len(self.numbers) == 1 else ("trials", "each is")
        was = "was" if len(self.numbers) == 1 else "were"
        return (
            f"{which} {first}{more} {was} left RUNNING by another program, without an attempt: {them} attempted here "
            "with its parameters; if that program still trains it, the first result counts"
        )


_LISTED = 10

Notice = Progress | TrialEnded | OtherSource | TakenUp
"""What a view shows."""

Sent = Notice | ProgressChange
"""What the control plane sends."""


def encode(notice: Sent) -> bytes:
    """Returns a notice as bytes; raises where a value in it has no form there."""
    return codec.encode(notice)


_decoder = msgspec.msgpack.Decoder(Sent, ext_hook=codec.decode_extension)


def decode(data: bytes) -> Sent:
    """Reads a notice; raises ``msgspec.DecodeError`` where it is none."""
    notice: Sent = _decoder.decode(data)
    return notice
