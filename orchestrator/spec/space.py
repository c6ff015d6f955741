"""The table [space]: parameters declared ahead, as Optuna's distributions."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Strict, ValidationInfo, model_validator

from orchestrator.common.faults import Fault, got, show
from orchestrator.common.field_types import check_scalar, check_text, entries, kind
from orchestrator.common.table import Table, is_stored, one_of

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

EXACT = 2**53 - 1
"""The largest integer that a double, as which Optuna stores every parameter, tells from its neighbours."""

PARAMETER_LENGTH = 512
"""Width of Optuna's column for a parameter's name, in characters."""

LARGEST_FLOAT = 1e300
"""Samplers widen a range by some steps and take differences; nearer to the largest double that overflows."""

MOST_PARAMETERS = 1_000
"""Parameters of [space]: all are sampled whenever a trial is asked for."""

MOST_CHOICES = 10_000
"""Choices of all parameters together: TPE weighs each of them against each trial that has ended."""

STEPS = 10**15
"""More steps than this between low and high, and a double no longer tells them apart."""


def _check_choice(value: Any) -> Any:
    return check_scalar(value)


def _check_parameter(name: str) -> str:
    check_text(name)
    if not 1 <= len(name) <= PARAMETER_LENGTH:
        raise Fault(f"a parameter's name has 1 to {PARAMETER_LENGTH} characters, not {len(name)}")
    return name


Exact = Annotated[int, Field(ge=-EXACT, le=EXACT)]
Finite = Annotated[float, Field(ge=-LARGEST_FLOAT, le=LARGEST_FLOAT)]
Choice = Annotated[Any, BeforeValidator(_check_choice), kind("string, number or boolean")]
ParameterName = Annotated[str, AfterValidator(_check_parameter)]


def _check_order(low: float, high: float) -> None:
    if low > high:
        raise Fault(f"is {low!r}, above high, which is {high!r}", "low must be at most high", ("low",))


class FloatRange(Table):
    """A number in [low, high].

    Attributes:
        low: The smallest value; above 0 with ``log``.
        high: The largest value.
        log: Whether it is sampled by its logarithm; not beside ``step``.
        step: Values lie on the grid low, low + step, … up to high; grid and brute force need it.

    Example:
        [space]
        lr = { type = "float", low = 1e-4, high = 1e-1, log = true }
        dropout = { type = "float", low = 0.0, high = 0.6, step = 0.1 }
    """

    type: Literal["float"]
    low: Finite
    high: Finite
    log: bool = False
    step: Annotated[float, Field(gt=0, le=LARGEST_FLOAT)] | None = None

    @model_validator(mode="after")
    def _check(self) -> FloatRange:
        _check_order(self.low, self.high)
        if self.log and self.low <= 0:
            raise Fault(f"is {self.low!r}", "with log = true it must be above 0", ("low",))
        if self.step is not None:
            if self.log:
                raise Fault("cannot go with log = true", "drop one of them", ("step",))
            if (self.high - self.low) / self.step > STEPS:
                raise Fault(f"is {self.step!r}: too fine for this range", "make it larger", ("step",))
        return self

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)


class IntRange(Table):
    """An integer in [low, high].

    Attributes:
        low: The smallest value; at least 1 with ``log``.
        high: The largest value.
        log: Whether it is sampled by its logarithm; not beside ``step``.
        step: Values are low, low + step, … up to high.

    Example:
        [space]
        width = { type = "int", low = 4, high = 64, step = 4 }
    """

    type: Literal["int"]
    low: Exact
    high: Exact
    log: bool = False
    step: Annotated[int, Field(ge=1, le=EXACT)] = 1

    @model_validator(mode="after")
    def _check(self) -> IntRange:
        _check_order(self.low, self.high)
        if self.log and self.low < 1:
            raise Fault(f"is {self.low}", "with log = true it must be at least 1", ("low",))
        if self.log and self.step != 1:
            raise Fault("cannot go with log = true", "drop one of them", ("step",))
        return self

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import IntDistribution

        return IntDistribution(self.low, self.high, log=self.log, step=self.step)


class Choices(Table):
    """One of some values.

    Attributes:
        choices: At least one, and none twice; 1, 1.0 and true are one.

    Example:
        [space]
        optimizer = { type = "categorical", choices = ["sgd", "adam"] }
    """

    type: Literal["categorical"]
    choices: Annotated[tuple[Choice, ...], Strict(False)]

    @model_validator(mode="after")
    def _check(self) -> Choices:
        if not self.choices:
            raise Fault("is empty", "give at least one choice", ("choices",))
        seen: dict[Any, int] = {}
        for index, choice in enumerate(self.choices):
            if choice in seen:
                first = show(self.choices[seen[choice]])
                # Optuna finds a choice by ==, for which 1, 1.0 and true are one.
                raise Fault(f"{show(choice)} equals {first}", "drop one of them", ("choices", index))
            seen[choice] = index
        return self

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.choices)


Parameter = Annotated[
    FloatRange | IntRange | Choices,
    one_of("type", float=FloatRange, int=IntRange, categorical=Choices),
]


def _check_table(value: Any) -> Any:
    if not isinstance(value, dict):
        raise Fault(got(value), "it must be a table")
    return value


def _check_choices(
    space: dict[str, FloatRange | IntRange | Choices], info: ValidationInfo
) -> dict[str, FloatRange | IntRange | Choices]:
    count = 0
    for name, parameter in space.items():
        count += len(parameter.choices) if isinstance(parameter, Choices) else 0
        if count > MOST_CHOICES and not is_stored(info):
            problem = f"makes {count} choices of all parameters up to here together"
            raise Fault(problem, f"they may be at most {MOST_CHOICES}", (name,))
    return space


Space = Annotated[
    dict[ParameterName, Parameter],
    AfterValidator(_check_choices),
    BeforeValidator(_check_table),
    entries(MOST_PARAMETERS),
]


def distributions(space: dict[str, FloatRange | IntRange | Choices]) -> dict[str, BaseDistribution]:
    """Returns Optuna's distributions, in the order of the spec.

    Where (high - low) is no multiple of the step, Optuna lowers ``high`` and warns each time. The warning is
    suppressed, since a plain ``suggest_float`` with these arguments lowers it too.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return {name: parameter.distribution() for name, parameter in space.items()}
