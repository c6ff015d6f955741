"""Looking for trouble, and repairing what is safe to repair."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.api.shown import Answer

if TYPE_CHECKING:
    from orchestrator.common.settings import Settings


def diagnose(settings: Settings, *, repair: bool) -> Answer:
    """Looks for trouble for some seconds; with ``repair`` again after the repairs."""
    from orchestrator.doctor.checks import findings
    from orchestrator.doctor.gather import gather
    from orchestrator.doctor.render import render, to_json
    from orchestrator.doctor.repair import apply_repairs

    facts = gather(settings)
    found = findings(facts)
    done = list(apply_repairs(settings, found)) if repair else None
    if done:
        facts = gather(settings)
        found = findings(facts)
    return Answer(lambda _: [render(found, done)], to_json(facts, found, done))
