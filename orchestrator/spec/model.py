"""The spec: every key it may hold, with its bounds and its default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, Strict, ValidationError, model_validator

from orchestrator.errors import BadInput
from orchestrator.spec.configuration import check_values
from orchestrator.spec.faults import Fault, show
from orchestrator.spec.messages import bad_input
from orchestrator.spec.notify import NotifyTable, redact_webhook
from orchestrator.spec.pruner import NoPruner, Pruner
from orchestrator.spec.retry import RetryTable
from orchestrator.spec.sampler import Sampler, SamplerTable
from orchestrator.spec.space import FloatRange, Space, distributions
from orchestrator.spec.table import Table
from orchestrator.spec.values import Arguments, ClassName, Count, Duration, Name, Queue, Reference

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FORMAT = 1
"""The version of what ``Spec.to_json`` writes."""

Direction = Literal["minimize", "maximize"]


class Spec(Table):
    """One search. Frozen; tables inside ``args`` are to be left alone too."""

    planned = frozenset({"timeout", "target", "max_total_steps", "patience", "priority", "schedule"})

    name: Name
    objective: Reference
    direction: Direction = "minimize"
    # Two or more; empty where there is one, which is ``direction``.
    directions: Annotated[tuple[Direction, ...], Strict(False)] = ()
    trials: Count
    max_steps: Count | None = None
    parallel: Count | None = None
    lookahead: Count = 1
    # numpy's generators take 32 bits.
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] | None = None
    queue: Queue = "trials"
    catch: Annotated[tuple[ClassName, ...], Strict(False)] = ()
    # A day: long beyond use, and short of what the platform's timers refuse.
    grace: Annotated[float, Field(gt=0, le=86_400)] = 10.0
    # Seconds without a report or a checkpoint after which an attempt is given up; never where it is not set.
    stall_timeout: Duration | None = None
    # Of so many best trials; of all where it is not set.
    keep_models: Count | None = None
    args: Arguments = Field(default_factory=dict)
    sampler: Sampler = SamplerTable()
    pruner: Pruner = NoPruner()
    shadow: Pruner = NoPruner()
    audit: Annotated[float, Field(ge=0, lt=1)] = 0.0
    space: Space = Field(default_factory=dict)
    enqueue: Annotated[tuple[Arguments, ...], Strict(False)] = ()
    retry: RetryTable = RetryTable()
    notify: NotifyTable = NotifyTable()

    @model_validator(mode="before")
    @classmethod
    def _check_directions(cls, data: Any) -> Any:
        """Takes one of ``directions`` for ``direction``, and refuses several with what cannot be had of them."""
        if not isinstance(data, dict) or not isinstance(data.get("directions"), list | tuple):
            return data
        directions = data["directions"]
        if not directions:
            raise Fault("is empty", "give one for each value that the objective returns", ("directions",))
        if "direction" in data:
            raise Fault("stands beside 'direction'", "give one of them", ("directions",))
        if len(directions) == 1:
            data = {key: value for key, value in data.items() if key != "directions"} | {"direction": directions[0]}
        if len(directions) > 1:
            notify = data.get("notify")
            events = notify.get("on") if isinstance(notify, dict) else ()
            if isinstance(events, list | tuple) and "best" in events:
                problem = "names 'best', and with several objectives no trial is the best"
                raise Fault(problem, "take it out", ("notify", "on"))
            if data.get("keep_models") is not None:
                problem = "keeps the models of the best trials, and with several objectives no trial is the best"
                raise Fault(problem, "take it out; all models are kept then", ("keep_models",))
            for key in ("pruner", "shadow"):
                table = data.get(key)
                if isinstance(table, dict) and table.get("name", "none") != "none":
                    problem = (
                        f"is {show(table['name'])}, and a study with several objectives cannot prune: "
                        "Optuna's report and should_prune are not defined for it"
                    )
                    raise Fault(problem, 'use name = "none"', (key, "name"))
        return data

    @model_validator(mode="after")
    def _check_together(self) -> Spec:
        _check_rules(self)
        _check_enumerable(self)
        _check_enqueued(self)
        return self

    @property
    def objectives(self) -> tuple[Direction, ...]:
        """The direction of each value that the objective returns."""
        return self.directions or (self.direction,)

    def distributions(self) -> dict[str, BaseDistribution]:
        """Returns Optuna's distributions of [space]; empty where the objective suggests for itself."""
        return distributions(self.space)

    def to_json(self) -> dict[str, Any]:
        """Returns what is stored beside the study: plain JSON with every default written out, so that a later
        version with other defaults still reads the same search."""
        data = {"format": FORMAT, **self.model_dump(mode="json")}
        del data["direction" if self.directions else "directions"]
        return data

    def shown(self) -> dict[str, Any]:
        """Returns what anybody may be shown: as ``to_json``, with what may be a secret masked."""
        data = self.to_json()
        if self.notify.url is not None:
            data["notify"]["url"] = redact_webhook(self.notify.url)
        return data

    @classmethod
    def from_json(cls, data: Any) -> Spec:
        """The inverse of ``to_json``.

        Raises:
            BadInput: it was not written by ``to_json``, or by one of another version.
        """
        where = "stored spec"
        if not isinstance(data, dict) or "format" not in data:
            raise BadInput(where, "is no stored spec")
        if isinstance(data.get("name"), str):
            where += f" of study {show(data['name'])}"
        found = data["format"]
        if found != FORMAT or isinstance(found, bool):
            problem = f"is of format {show(found)}, and this program reads format {FORMAT}"
            raise BadInput(where, problem, "use the version that wrote it")
        return validate({key: value for key, value in data.items() if key != "format"}, where)


def validate(data: dict[str, Any], source: str) -> Spec:
    """Returns the spec, or says what is wrong under the name of its source.

    Raises:
        BadInput: with the key of the first fault.
    """
    try:
        return Spec.model_validate(data)
    except ValidationError as error:
        raise bad_input(error, source) from None


def _check_rules(spec: Spec) -> None:
    spec.pruner.check_steps(spec.max_steps, ("pruner",))
    if spec.shadow.promotes:
        raise Fault(
            "pauses trials, and a shadow rule must be one that stops trials", "use 'stopping'", ("shadow", "mode")
        )
    spec.shadow.check_steps(spec.max_steps, ("shadow",))
    if spec.audit and (spec.pruner.promotes or spec.pruner.name == "none"):
        which = f"mode '{getattr(spec.pruner, 'mode', '')}'" if spec.pruner.promotes else "pruner 'none'"
        problem = f"is {spec.audit:g}, and with {which} no trial is condemned that could be let run on"
        raise Fault(problem, "take it out, or choose a pruner that stops trials", ("audit",))


def _check_enqueued(spec: Spec) -> None:
    if not spec.enqueue:
        return
    space = spec.distributions()
    for index, params in enumerate(spec.enqueue):
        try:
            check_values(params, space)
        except Fault as fault:
            raise Fault(fault.problem, fault.remedy, ("enqueue", index, *fault.key)) from None


def _check_enumerable(spec: Spec) -> None:
    name = spec.sampler.name
    if name == "cmaes" and spec.directions:
        raise Fault("'cmaes' takes one objective", "use nsgaii, tpe or gp for several", ("sampler", "name"))
    if name not in ("grid", "brute_force"):
        return
    if name == "brute_force" and not spec.space:
        return
    if not spec.space:
        raise Fault("'grid' needs a table [space]", "it takes its grid from there", ("sampler", "name"))
    for key, parameter in spec.space.items():
        if isinstance(parameter, FloatRange) and parameter.step is None:
            raise Fault(f"has no step, and '{name}' tries every value", "give it one", ("space", key))
