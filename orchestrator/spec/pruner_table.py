"""[pruner] and [shadow]: which rule stops trials early, chosen by its name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from orchestrator.common.class_names import check_foreign
from orchestrator.common.faults import Fault
from orchestrator.common.field_types import CountOrNone, Json
from orchestrator.common.table import tagged
from orchestrator.pruning.rung_tables import AshaPruner, HyperbandPruner
from orchestrator.pruning.tables import MedianPruner, NoPruner, PercentilePruner, PrunerTable, ThresholdPruner

__all__ = ["OPTUNAS", "RULES", "AshaPruner", "NoPruner", "OptunaPruner", "PatientPruner", "Pruner", "PrunerTable"]

RULES = ("median", "percentile", "asha", "hyperband", "threshold", "patient", "none")
"""Names of our own rules."""

OPTUNAS = ("wilcoxon",)
"""Optuna's pruners for which there is no rule of our own, by their class names in snake case."""

_ALSO_CALLED = {"successive_halving": "asha", "sha": "asha", "nop": "none"}


class OptunaPruner(PrunerTable):
    """A pruner of Optuna's, or of your own: its name or ``module:Class``, and beside it whatever it takes.

    Attributes:
        name: ``"wilcoxon"``, or any subclass of ``optuna.pruners.BasePruner`` that can be imported where the search
            is decided.
    """

    # The arguments are checked by ``orchestrator.spec.pruner_factory``, which needs Optuna and the class for it.
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Json] = Field(init=False)

    name: str

    @property
    def own_class(self) -> bool:
        return ":" in self.name and not self.name.startswith("optuna.")

    def arguments(self) -> dict[str, Any]:
        """Returns the arguments as they stand in the spec, without defaults."""
        return dict(self.model_extra or {})


def _tag(value: Any) -> str:
    """Tells which table a name belongs to."""
    name = value["name"] if isinstance(value, dict) else value.name
    return name if name in RULES else "optuna"


def _check_foreign(name: str) -> None:
    check_foreign(name, "pruner", (*RULES, *OPTUNAS), _ALSO_CALLED)


def _check_wrapped(name: str) -> None:
    if name == "none":
        raise Fault("'none' never stops a trial", "leave 'wrapped' out to stop for want of patience alone", ("name",))
    if name == "patient":
        raise Fault("'patient' cannot stand inside itself", "give one of them the larger patience", ("name",))
    _check_foreign(name)


_INSIDE = tuple(name for name in (*RULES, *OPTUNAS) if name not in ("none", "patient"))

Wrapped = Annotated[
    Annotated[MedianPruner, Tag("median")]
    | Annotated[PercentilePruner, Tag("percentile")]
    | Annotated[AshaPruner, Tag("asha")]
    | Annotated[HyperbandPruner, Tag("hyperband")]
    | Annotated[ThresholdPruner, Tag("threshold")]
    | Annotated[OptunaPruner, Tag("optuna")],
    Discriminator(_tag),
    tagged("name", _INSIDE, otherwise=_check_wrapped),
]


class PatientPruner(PrunerTable):
    """As ``optuna.pruners.PatientPruner``: asks the rule inside, if any, only without improvement.

    Attributes:
        patience: Reports without improvement that are forgiven.
        min_delta: How much worse still counts as no worse.
        wrapped: The rule inside, written like ``[pruner]``; any but ``none`` and ``patient``, and none that pauses
            trials. Without one, want of patience alone stops a trial.
    """

    name: Literal["patient"]
    patience: CountOrNone
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    wrapped: Wrapped | None = None

    @property
    def own_class(self) -> bool:
        return self.wrapped is not None and self.wrapped.own_class

    def arguments(self) -> dict[str, Any]:
        inside = None if self.wrapped is None else {"name": self.wrapped.name, **self.wrapped.arguments()}
        return {"patience": self.patience, "min_delta": self.min_delta, "wrapped": inside}

    def check_steps(self, max_steps: int | None, key: tuple[str, ...]) -> None:
        if self.wrapped is None:
            return
        if self.wrapped.promotes:
            problem = "pauses trials, and a patient rule can only hold back one that stops them"
            raise Fault(problem, "use 'stopping'", (*key, "wrapped", "mode"))
        self.wrapped.check_steps(max_steps, (*key, "wrapped"))


Pruner = Annotated[
    Annotated[NoPruner, Tag("none")]
    | Annotated[MedianPruner, Tag("median")]
    | Annotated[PercentilePruner, Tag("percentile")]
    | Annotated[AshaPruner, Tag("asha")]
    | Annotated[HyperbandPruner, Tag("hyperband")]
    | Annotated[ThresholdPruner, Tag("threshold")]
    | Annotated[PatientPruner, Tag("patient")]
    | Annotated[OptunaPruner, Tag("optuna")],
    Discriminator(_tag),
    tagged("name", (*RULES, *OPTUNAS), otherwise=_check_foreign),
]
