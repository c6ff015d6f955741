"""A rule from its validated arguments, with pruners of Optuna's kind behind their adapter, and its rungs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.model.progress_events import RungLine
from orchestrator.pruning import Direction
from orchestrator.pruning.arguments import RuleArguments, Search
from orchestrator.pruning.base import RuleBase
from orchestrator.pruning.pausing import PausingRule
from orchestrator.spec import Spec

if TYPE_CHECKING:
    import optuna


def build(
    arguments: RuleArguments,
    direction: Direction,
    *,
    study_name: str,
    max_steps: int | None,
    trials: int,
    study: optuna.Study | None = None,
) -> RuleBase:
    """Returns a new rule.

    Args:
        arguments: Which rule, and its arguments.
        direction: See ``Search``, as the three that follow.
        study_name: The study's name.
        max_steps: Steps of a full trial.
        trials: The budget.
        study: Where a pruner of Optuna's kind looks; the caller records a report there before it tells the rule, and a
            trial's id there is its number. Without one the pruner looks at a study that the rule fills itself.

    Raises:
        BadInput: a class of Optuna's kind is not there, or does not take its arguments.
    """

    def adapt(name: str, given: Mapping[str, Any]) -> RuleBase:
        # The rules of this program do without Optuna, so it is imported only here.
        from orchestrator.sampling.optuna_pruner import OptunaRule, private_study
        from orchestrator.spec.pruner_factory import build_pruner

        where = study if study is not None else private_study(direction, study_name)
        return OptunaRule(name, build_pruner(name, given), where, feeds=study is None)

    return arguments.build(Search(direction, study_name, max_steps, trials, adapt))


def of_spec(spec: Spec, arguments: RuleArguments, study: optuna.Study | None = None) -> RuleBase:
    """Returns a new rule of a spec, from its [pruner] or [shadow]; ``study`` and errors as for ``build``."""
    return build(
        arguments,
        spec.direction,
        study_name=spec.name,
        max_steps=spec.max_steps,
        trials=spec.trials,
        study=study,
    )


def rung_lines(rule: PausingRule) -> tuple[RungLine, ...]:
    """Returns the line of each rung, the lowest first."""
    ready = rule.next_up()
    rungs = zip(rule.held(), rule.on_rung(), rule.first_in_line(), strict=True)
    return tuple(
        RungLine(step=step, reached=reached, on_it=on_it, next_up=up, ready=up is not None and up == ready)
        for (step, reached), on_it, up in rungs
    )
