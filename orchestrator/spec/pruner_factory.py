"""A pruner of Optuna's kind that a spec asks for. Functions here import Optuna when they are called, not before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.common.errors import BadInput, did_you_mean
from orchestrator.common.faults import show
from orchestrator.common.foreign_classes import find, make
from orchestrator.pruning.arguments import RuleArguments
from orchestrator.pruning.foreign import OPTUNAS, ForeignArguments

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

    from orchestrator.spec.model import Spec


def check_pruner(spec: Spec, source: str = "") -> None:
    """Builds what [pruner] and [shadow] name of Optuna's kind once and throws it away.

    Raises:
        BadInput: there is no such class, it is no pruner, or it does not take these arguments.
    """
    try:
        _check_table(spec.pruner, "pruner")
        _check_table(spec.shadow, "shadow")
    except BadInput as error:
        raise (error.within(source) if source else error) from None


def _check_table(table: RuleArguments, key: str) -> None:
    if isinstance(table, ForeignArguments):
        build_pruner(table.name, table.arguments(), key)
    elif (inside := getattr(table, "wrapped", None)) is not None:
        _check_table(inside, f"{key}.wrapped")


def build_pruner(name: str, arguments: Mapping[str, Any], key: str = "pruner") -> BasePruner:
    """Returns a new pruner.

    Args:
        name: One of ``OPTUNAS``, or ``module:Class``.
        arguments: Its keyword arguments.
        key: The table's key, for messages.

    Raises:
        BadInput: as ``check_pruner``.
    """
    pruner: BasePruner = make(pruner_class(name, key), name, arguments, key)
    return pruner


def pruner_class(name: str, key: str = "pruner") -> type[BasePruner]:
    """Returns the class of a pruner of Optuna's kind; arguments and errors as for ``build_pruner``."""
    import optuna

    reference = name
    if ":" not in name:
        if name not in OPTUNAS:
            raise BadInput(f"{key}.name", f"there is no {show(name)}", did_you_mean(name, OPTUNAS))
        reference = "optuna.pruners:" + "".join(part.capitalize() for part in name.split("_")) + "Pruner"
    maker: type[BasePruner] = find(reference, optuna.pruners.BasePruner, "pruner", f"{key}.name")
    return maker
