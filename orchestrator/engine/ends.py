"""How a trial came to its end, in words, from the attributes that stay with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.engine.explain import describe_kept
from orchestrator.model.attribute_keys import DECISION, FAILURE, RETRY_OF


def describe_end(attributes: Mapping[str, Any]) -> str:
    """Returns on what grounds the trial was pruned, or how it failed; empty where neither is kept."""
    failure = attributes.get(FAILURE)
    if isinstance(failure, dict):
        if failure.get("error"):
            return f"{failure['error']}: {failure.get('message', '')}"
        return str(failure.get("cause", ""))
    decision = attributes.get(DECISION)
    return describe_kept(decision) if isinstance(decision, dict) else ""


def note(attributes: Mapping[str, Any]) -> str:
    """Returns the same in a few words, and whose retry the trial is."""
    words = describe_end(attributes).partition("\n")[0]
    decision = attributes.get(DECISION)
    if isinstance(decision, dict) and FAILURE not in attributes:
        words = f"{decision.get('rule')} at step {decision.get('step')}"
    again = f"retry of trial {attributes[RETRY_OF]}" if RETRY_OF in attributes else ""
    return ", ".join(each for each in (words, again) if each)
