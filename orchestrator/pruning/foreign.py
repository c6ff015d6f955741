"""Pruner classes of Optuna and of the user, named in a spec. ``orchestrator.sampling`` runs them."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ConfigDict, Field

from orchestrator.common.field_types import Json
from orchestrator.pruning.arguments import RuleArguments, Search
from orchestrator.pruning.base import RuleBase

OPTUNAS: Final = ("wilcoxon",)
"""Optuna's pruners for which there is no rule here, by their class names in snake case."""

ALSO_CALLED: Final = {"successive_halving": "asha", "sha": "asha", "nop": "none"}
"""Rules that Optuna or the papers call by other names."""


class ForeignArguments(RuleArguments):
    """A pruner of Optuna's, or of your own: its name or ``module:Class``, and beside it the arguments that it takes.

    Attributes:
        name: ``"wilcoxon"``, or any subclass of ``optuna.pruners.BasePruner`` that can be imported where the search
            is decided.

    Example:
        [pruner]
        name = "wilcoxon"
        p_threshold = 0.1
    """

    # ``orchestrator.spec.pruner_factory`` checks the arguments; it needs Optuna and the class for that.
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Json] = Field(init=False)

    @property
    def own_class(self) -> bool:
        return ":" in self.name and not self.name.startswith("optuna.")

    def arguments(self) -> dict[str, Any]:
        """Returns the class's keyword arguments as they stand in the spec, without defaults."""
        return dict(self.model_extra or {})

    def build(self, search: Search) -> RuleBase:
        return search.adapt(self.name, self.arguments())
