"""The slots of a worker on this machine: how many, and which GPUs each has."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.common.errors import BadInput
from orchestrator.common.faults import got


@dataclass(frozen=True)
class SlotOptions:
    """The options of a worker about its slots.

    Attributes:
        slots: Trials at once; ``None`` for one per GPU, or 1 to 4 without one.
        gpus: GPUs to use, such as ``0,1``; empty for all that are visible.
        per_gpu: Slots that share one GPU.
        gpus_per_trial: GPUs that each slot has for itself.

    Raises:
        BadInput: they cannot be, whatever GPUs there are.
    """

    slots: int | None = None
    gpus: str = ""
    per_gpu: int = 1
    gpus_per_trial: int = 1

    def __post_init__(self) -> None:
        for name, value in (("slots", self.slots), ("per_gpu", self.per_gpu), ("gpus_per_trial", self.gpus_per_trial)):
            unset = value is None and name == "slots"
            if not unset and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise BadInput(f"run: {name}", got(value), "it must be an integer of at least 1")
        if not isinstance(self.gpus, str):
            raise BadInput("run: gpus", got(self.gpus), "it must be a string such as '0,1'")
        if self.gpus and not all(each.strip() for each in self.gpus.split(",")):
            raise BadInput("run: gpus", f"is '{self.gpus:.100}'", "write numbers or UUIDs, separated by commas")
        if self.per_gpu > 1 and self.gpus_per_trial > 1:
            raise BadInput("run: per_gpu and gpus_per_trial", "slots share a GPU, or have several", "give one of them")

    @property
    def are_given(self) -> bool:
        """Whether anything differs from the defaults."""
        return self != SlotOptions()

    def arguments(self) -> list[str]:
        """Returns them as arguments of a worker."""
        found = [] if self.slots is None else ["--slots", str(self.slots)]
        found += ["--gpus", self.gpus] if self.gpus else []
        for option, value in (("--per-gpu", self.per_gpu), ("--gpus-per-trial", self.gpus_per_trial)):
            found += [option, str(value)] if value != 1 else []
        return found
