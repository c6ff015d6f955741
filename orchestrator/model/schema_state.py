"""Which version a database's tables are of, Optuna's and ours, and what is to be done where that is another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Refusal(NamedTuple):
    """Why a database cannot be used, and what would be right."""

    problem: str
    remedy: str


@dataclass(frozen=True)
class OptunaSchema:
    """Optuna's tables.

    Attributes:
        found: The version they are of.
        wanted: The one that the Optuna installed here works with.
        known: Whether that Optuna knows the found one, and so can migrate it.
        library: The Optuna that made them.
    """

    found: str
    wanted: str
    known: bool
    library: str

    def refusal(self, url: str) -> Refusal | None:
        """Returns what is wrong, if anything is; ``url`` is the database's, as a command may name it."""
        if self.found == self.wanted:
            return None
        problem = (
            f"Optuna's tables are of schema version {self.found}, made by Optuna {self.library}; "
            f"the Optuna installed here works with {self.wanted}"
        )
        if self.known:
            command = f"optuna storage upgrade --storage {url}"
            return Refusal(problem, f"end what writes to it, make a backup, then migrate it: {command}")
        return Refusal(problem, "it was written by a newer one: pip install --upgrade trial-orchestrator optuna")


@dataclass(frozen=True)
class OurSchema:
    """The tables of this program."""

    found: int
    wanted: int

    def refusal(self) -> Refusal | None:
        """Returns what is wrong, if anything is."""
        if self.found == self.wanted:
            return None
        problem = f"its tables are of version {self.found}, this program's are of version {self.wanted}"
        if self.found > self.wanted:
            return Refusal(problem, "it was written by a newer one: pip install --upgrade trial-orchestrator")
        return Refusal(problem, "use the program version that wrote it, or a new database")
