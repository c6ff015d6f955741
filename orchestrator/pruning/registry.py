"""The registry of pruning rules. A new rule is one file in this folder, and one line in ``RULES``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny, ValidationInfo

from orchestrator.common.faults import beneath
from orchestrator.common.foreign_classes import check_class_name
from orchestrator.common.table import check_tag
from orchestrator.pruning.arguments import RuleArguments
from orchestrator.pruning.asha import AshaArguments
from orchestrator.pruning.base import Direction
from orchestrator.pruning.expectations import Expectation
from orchestrator.pruning.foreign import ALSO_CALLED, OPTUNAS, ForeignArguments
from orchestrator.pruning.hyperband import HyperbandArguments
from orchestrator.pruning.index import IndexArguments
from orchestrator.pruning.none import NoArguments
from orchestrator.pruning.patient import PatientArguments
from orchestrator.pruning.percentile import MedianArguments, PercentileArguments
from orchestrator.pruning.threshold import ThresholdArguments
from orchestrator.pruning.words import RuleWords

RULES: tuple[type[RuleArguments], ...] = (
    MedianArguments,
    PercentileArguments,
    AshaArguments,
    HyperbandArguments,
    IndexArguments,
    ThresholdArguments,
    PatientArguments,
    NoArguments,
)
"""The model of each rule's arguments, in the order of the spec's reference."""

DEFAULT = MedianArguments(n_warmup_steps=5)
"""The rule of a new study whose spec names none. The first steps rank trials badly; docs/search.md has the figures."""

NO_RULE = NoArguments()
"""The rule that prunes nothing."""


def names() -> tuple[str, ...]:
    """Returns the names of the rules."""
    return tuple(model.model_fields["name"].default for model in RULES)


def all_names() -> tuple[str, ...]:
    """Returns the names of the rules, and of Optuna's pruners that a spec may name without their module."""
    return (*names(), *OPTUNAS)


def find(name: str) -> type[RuleArguments]:
    """Returns the model of a rule's arguments, or the one of foreign classes where no rule has that name."""
    return dict(zip(names(), RULES, strict=True)).get(name, ForeignArguments)


def read(value: Any, context: Any = None) -> RuleArguments:
    """Returns the arguments that a table of a spec holds.

    Args:
        value: The table, or arguments that are validated already.
        context: Of the validation; see ``orchestrator.common.table``.

    Raises:
        Fault: the table names no rule, or the rule does not take these arguments.
    """
    if isinstance(value, RuleArguments):
        return value
    table = check_tag(value, "name", all_names(), otherwise=_check_class)
    model = find(table["name"])
    if "wrapped" in model.model_fields and isinstance(table.get("wrapped"), dict):
        with beneath("wrapped"):
            table = {**table, "wrapped": read(table["wrapped"], context)}
    return model.read(table, context)


def words(
    rule: str, table: Mapping[str, Any], direction: Direction, expectations: Sequence[Expectation] = ()
) -> RuleWords:
    """Returns the words for decisions of a rule.

    Args:
        rule: Its name.
        table: The stored [pruner] or [shadow] of the study. A patient rule hands on the decisions of the rule inside
            it, and the study's rule may have been another one at the time.
        direction: Which way is better.
        expectations: How the trial was expected to end, where its rule predicts that.
    """
    inside = table.get("wrapped")
    if table.get("name") != rule and isinstance(inside, Mapping):
        table = inside
    return find(rule).words(table if table.get("name") == rule else {}, direction, expectations)


def _check_class(name: str) -> None:
    check_class_name(name, "pruner", all_names(), ALSO_CALLED)


def _validate(value: Any, info: ValidationInfo) -> RuleArguments:
    return read(value, info.context)


Pruner = Annotated[SerializeAsAny[RuleArguments], BeforeValidator(_validate)]
"""A field of a spec that holds a rule's arguments."""
