"""Checks all that a search needs before it begins, and says what it is."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator.api.shown import Answer
from orchestrator.api.spec_input import check_sampler_and_pruner

if TYPE_CHECKING:
    from orchestrator.common.settings import Settings
    from orchestrator.spec import Spec


def validated(spec: Spec, source: str, settings: Settings, *, imports: bool) -> Answer:
    """Checks a spec that was loaded, and all that `run` needs; returns what it is.

    Args:
        spec: The search.
        source: What the spec is called in messages.
        settings: Those of `run`.
        imports: Whether the objective is imported, in a process of its own.

    Raises:
        BadInput: what would end `run` in its first seconds.
    """
    from orchestrator.local.run_check import check_run

    check_sampler_and_pruner(spec, source)
    check_run(spec, source, settings, os.environ, imports=imports)
    return Answer.of_text("\n".join(_lines(spec, source)), {"spec": source, **spec.shown()}, tuple(_notes(spec)))


def _lines(spec: Spec, source: str) -> Iterator[str]:
    """Yields what a search is, in lines."""
    pruner = f"{spec.pruner.name} with promotion" if spec.pruner.promotes else spec.pruner.name
    yield f"{source}: {spec.name}: {spec.trials} trials of {spec.trained}"
    yield f"sampler {spec.sampler.name}, pruner {pruner}, {', '.join(spec.objectives)}"
    if spec.schedule is not None:
        from orchestrator.terminal.schedule_table import describe

        yield describe(spec.schedule, time.time())


def _notes(spec: Spec) -> Iterator[str]:
    """Yields what a spec gets that names no rule, or none, and what would need fewer epochs."""
    if spec.directions:
        return
    better = "'index' needs fewer epochs where the objective saves checkpoints"
    if "pruner" not in spec.model_fields_set:
        from orchestrator.pruning.registry import DEFAULT

        rule = f"'{DEFAULT.name}' from step {DEFAULT.n_warmup_steps} on"
        yield f"there is no [pruner], so a new study prunes by {rule}; name = 'none' stops no trial, and {better}"
    elif spec.pruner.name == "none":
        yield f"no trial is stopped early; 'median' needs fewer epochs, and {better}"
