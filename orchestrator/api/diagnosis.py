"""Looking for trouble, and repairing what is safe to repair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from orchestrator.common.settings import Settings
    from orchestrator.doctor.facts import Facts
    from orchestrator.doctor.finding import Finding


class Diagnosis(NamedTuple):
    """What was found; ``repaired`` is what was done about it, ``None`` where nothing was to be."""

    facts: Facts
    findings: Sequence[Finding]
    repaired: Sequence[str] | None


def diagnose(settings: Settings, *, repair: bool) -> Diagnosis:
    """Looks for trouble for some seconds; with ``repair`` again after the repairs."""
    from orchestrator.doctor.checks import findings
    from orchestrator.doctor.gather import gather
    from orchestrator.doctor.repair import apply_repairs

    facts = gather(settings)
    found = findings(facts)
    if not repair:
        return Diagnosis(facts, found, None)
    done = list(apply_repairs(settings, found))
    if done:
        facts = gather(settings)
        found = findings(facts)
    return Diagnosis(facts, found, done)
