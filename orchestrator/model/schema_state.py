"""Versions of a database's tables, Optuna's and this program's, and what the user does about another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.common.advice import how_to


class Refusal(NamedTuple):
    """The reason why a database cannot be used, and the remedy."""

    problem: str
    remedy: str


@dataclass(frozen=True)
class OptunaSchema:
    """Optuna's tables.

    Attributes:
        found: The version they are of.
        wanted: The version that the installed Optuna works with.
        known: Whether the installed Optuna knows the found version, and so can migrate it.
        library: The version of Optuna that made the tables.
    """

    found: str
    wanted: str
    known: bool
    library: str

    def refusal(self, url: str) -> Refusal | None:
        """Returns why the tables cannot be used; ``None`` where they can. ``url`` is what a command may show."""
        if self.found == self.wanted:
            return None
        problem = (
            f"Optuna's tables are of schema version {self.found}, made by Optuna {self.library}; "
            f"the Optuna installed here works with {self.wanted}"
        )
        if self.known:
            command = f"optuna storage upgrade --storage {url}"
            return Refusal(problem, f"end what writes to it, make a backup, then migrate it: {command}")
        return Refusal(
            problem, "a newer version wrote them: install that version of trial-orchestrator, and its Optuna"
        )


@dataclass(frozen=True)
class OwnSchema:
    """The tables of this program.

    Attributes:
        found: The revision they are of.
        wanted: The newest revision of this program.
        known: Whether this program has the found one among its revisions, and so can upgrade it.
    """

    found: str
    wanted: str
    known: bool

    def refusal(self) -> Refusal | None:
        """Returns why the tables cannot be used as they are; ``None`` where they can."""
        if self.found == self.wanted:
            return None
        problem = f"its tables are of revision {self.found}, this program's are of revision {self.wanted}"
        if self.known:
            return Refusal(problem, f"'{how_to('prepare')}' upgrades them in place")
        return Refusal(problem, "a newer version wrote them: install that version of trial-orchestrator")
