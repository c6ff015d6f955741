"""The table [sampler]: which sampler proposes parameters, chosen by its name."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator

from orchestrator.common.faults import Fault
from orchestrator.common.field_types import Json
from orchestrator.common.foreign_classes import check_class_name
from orchestrator.common.table import Table, check_tag, is_stored

SAMPLERS = ("tpe", "random", "grid", "brute_force", "cmaes", "gp", "qmc", "nsgaii", "nsgaiii")
"""Names of Optuna's samplers that a spec can hold all arguments of."""

_ALSO_CALLED = {"cma_es": "cmaes", "bruteforce": "brute_force", "nsga": "nsgaii", "bayesian": "gp"}

LARGEST_CANDIDATES = 10_000
"""TPE's ``n_ei_candidates``: each is weighed against every trial that has ended, in memory."""


LARGEST_GRID = 100_000
"""Optuna holds the whole grid in memory, and for brute force every value of a parameter."""


class SamplerTable(Table):
    """The sampler's name, and beside it the arguments that it takes. The seed stands at the top of the spec.

    Attributes:
        name: One of those below, or ``module:Class``, any subclass of ``optuna.samplers.BaseSampler`` that can be
            imported where the search is decided.

    Example:
        [sampler]
        name = "tpe"
        n_startup_trials = 5
    """

    # ``orchestrator.spec.sampler_factory`` checks the arguments; it needs Optuna for that.
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Json] = Field(init=False)

    name: str = "tpe"

    @model_validator(mode="before")
    @classmethod
    def _check_seed(cls, data: Any, info: ValidationInfo) -> Any:
        if isinstance(data, dict) and "seed" in data:
            raise Fault("stands in the wrong table", "write seed = … at the top of the spec", ("seed",))
        if is_stored(info) and isinstance(data, dict) and type(data.get("n_ei_candidates")) is int:
            # Earlier versions took ten times as many.
            return {**data, "n_ei_candidates": min(data["n_ei_candidates"], LARGEST_CANDIDATES)}
        return data

    def arguments(self) -> dict[str, Any]:
        """Returns the arguments as they stand in the spec, without defaults."""
        return dict(self.model_extra or {})


def _check_class(name: str) -> None:
    check_class_name(name, "sampler", SAMPLERS, _ALSO_CALLED)


def _check_name(value: Any) -> Any:
    if isinstance(value, SamplerTable):
        return value
    return check_tag(value, "name", SAMPLERS, default="tpe", otherwise=_check_class)


Sampler = Annotated[SamplerTable, BeforeValidator(_check_name)]
