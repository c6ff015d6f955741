"""What a run is asked to do, and when it has done it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.common.errors import StudyFailed
from orchestrator.common.settings import Settings
from orchestrator.common.slot_options import SlotOptions
from orchestrator.model.study_states import ENDED
from orchestrator.spec import Spec

if TYPE_CHECKING:
    from orchestrator.storage.store import Store


@dataclass(frozen=True)
class Plan:
    """The arguments of ``run``.

    Attributes:
        source: What the spec is called in messages, such as its file.
        slots: The slots of its worker.
        environment: That of this process, from which those of the children are made.
        command_line: Runs a command of ``orchestrator`` in the process that calls it; the control plane is a fork of
            this process then. ``None`` in a program of the user's, which may have threads and whatever they hold: the
            control plane is a new interpreter, and a second Ctrl-C ends the search, not this process.
    """

    spec: Spec
    source: str
    slots: SlotOptions
    settings: Settings
    environment: dict[str, str]
    command_line: Callable[[Sequence[str]], object] | None


def has_ended(store: Store, name: str) -> bool:
    """Returns whether the study has ended; raises StudyFailed where it cannot end by itself."""
    state = store.state(name)
    if state is None:
        raise StudyFailed(f"study '{name}' was deleted or renamed while it ran")
    if suspension := store.suspended().get(name):
        again = "once that is mended, the same command goes on with it"
        raise StudyFailed(f"study '{name}' is suspended: {suspension.cause}; {again}")
    return state in ENDED
