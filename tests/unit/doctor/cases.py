"""A case for each finding: the facts that it takes, and what is said about them."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from orchestrator.doctor.facts import Facts
from orchestrator.doctor.finding import Code, Repair, Severity

NOTE, WARNING, PROBLEM = Severity.NOTE, Severity.WARNING, Severity.PROBLEM


class Case(NamedTuple):
    """One thing that is wrong, with words of its text and of its remedy; ``beside`` is what goes with it."""

    code: Code
    severity: Severity
    facts: Facts
    says: str
    remedy: str = ""
    repair: Repair | None = None
    beside: Collection[Code] = ()
