"""[sampler]: which sampler proposes parameters, chosen by its name."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import ConfigDict, Field, model_validator

from orchestrator.errors import did_you_mean
from orchestrator.spec.faults import Fault, show
from orchestrator.spec.table import Table, tagged
from orchestrator.spec.values import Json, split_reference

SAMPLERS = ("tpe", "random", "grid", "brute_force", "cmaes", "gp", "qmc", "nsgaii", "nsgaiii")
"""Names of Optuna's samplers that a spec can hold all arguments of."""

_ALSO_CALLED = {"cma_es": "cmaes", "bruteforce": "brute_force", "nsga": "nsgaii", "bayesian": "gp"}


class SamplerTable(Table):
    """[sampler]: its name or ``module:Class``, and beside it whatever that sampler takes.

    The arguments are checked by ``orchestrator.spec.samplers``, which needs Optuna for it.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Json] = Field(init=False)

    name: str = "tpe"

    @model_validator(mode="before")
    @classmethod
    def _check_seed(cls, data: Any) -> Any:
        if isinstance(data, dict) and "seed" in data:
            raise Fault("stands in the wrong table", "write seed = … at the top of the spec", ("seed",))
        return data

    def arguments(self) -> dict[str, Any]:
        """Returns the arguments as they stand in the spec, without defaults."""
        return dict(self.model_extra or {})


def _check_foreign(name: str) -> None:
    """Passes a reference to a class; what is neither that nor a name gets the nearest name."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", re.split(r"[.:]", name[:100])[-1]).lower()
    plain = words.replace("-", "_").removesuffix("sampler").rstrip("_")
    ours = plain if plain in SAMPLERS else _ALSO_CALLED.get(plain)
    if ":" not in name and ours is not None:
        raise Fault(f"there is no {show(name)}", f"here it is called '{ours}'", ("name",))
    if ":" in name or "." in name:
        try:
            split_reference(name, "module:Class", "mypackage.samplers:MySampler")
        except Fault as fault:
            raise Fault(fault.problem, fault.remedy, ("name",)) from None
        return
    remedy = did_you_mean(plain, SAMPLERS)
    if not remedy.startswith("did"):
        remedy = f"{remedy}, or 'module:Class', any sampler of Optuna's kind"
    raise Fault(f"there is no {show(name)}", remedy, ("name",))


Sampler = Annotated[SamplerTable, tagged("name", SAMPLERS, default="tpe", otherwise=_check_foreign)]
