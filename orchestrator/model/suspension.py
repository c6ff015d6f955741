"""Suspensions of studies: the cause, as it is stored and shown."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from orchestrator.common.advice import how_to
from orchestrator.common.errors import BadInput, OrchestratorError

LONGEST_CAUSE: Final = 300


class Suspension(NamedTuple):
    """The suspension of a study: nothing is done for it until a person takes it up again.

    ``cause`` is one line, ``at`` is in seconds since the epoch. ``passing`` is whether the next control plane that
    starts tries again by itself: the study was refused for what one host lacks, before anything was done for it.
    """

    cause: str
    at: float
    passing: bool = False

    def shown(self, study: str) -> dict[str, Any]:
        """Returns it as plain data, with the command that takes the study up again."""
        return {"cause": self.cause, "since": self.at, "resume": f"orchestrator resume {study}"}


def describe(error: BaseException) -> str:
    """Returns an error's class, where it is foreign, and the first line of its message, bounded and printable."""
    # SQLAlchemy's own message holds the whole statement and its parameters.
    inner = getattr(error, "orig", None) or error
    if isinstance(error, OrchestratorError):
        return printable(str(error))
    try:
        message = str(inner)
    except Exception:
        message = ""
    first = next((line for line in message.splitlines() if line.strip()), "")
    return printable(f"{type(inner).__name__}: {first.strip()}" if first else type(inner).__name__)


def printable(text: str) -> str:
    """Returns text that every column, terminal and log can hold: one line of at most ``LONGEST_CAUSE`` characters."""
    shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text[: LONGEST_CAUSE + 1])
    return shown if len(shown) <= LONGEST_CAUSE else shown[: LONGEST_CAUSE - 1] + "…"


def remedy(study: str) -> str:
    """Returns what takes a suspended study up again."""
    return f"'{how_to('resume', study)}' takes it up again"


def refusal(study: str, cause: str) -> BadInput:
    """Returns what a command is answered that a suspended study cannot take."""
    return BadInput(f"study '{study}'", f"is suspended: {cause}", remedy(study))
