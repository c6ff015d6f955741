"""The exported table: its columns are known beforehand, its rows come one by one.

Names are those of Optuna's ``trials_dataframe``: ``value`` or ``values_0``, ``params_lr``, ``user_attrs_note``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from msgspec import UNSET
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from orchestrator.common.json_text import plain
from orchestrator.engine.explanations import describe_end
from orchestrator.model.measurements import MEASUREMENTS
from orchestrator.model.records import ListedTrial
from orchestrator.queries.trial_queries import StudyTrials

Kind = Literal["integer", "float", "boolean", "text", "time", "json"]
"""The kind of all values of a column; any value may be missing. ``json`` is for values of several kinds, for lists and
for tables, which are written as JSON where a column needs one kind."""

_EXACT: Final = 2**53
"""Up to here a float holds every integer."""

_LARGEST: Final = 2**63


@dataclass(frozen=True)
class Column:
    """A column: its name and the kind of its values."""

    name: str
    kind: Kind


@dataclass(frozen=True)
class Rows:
    """A table. Each row has a value for each column, ``UNSET`` where it has none; ``None`` is a value."""

    columns: Sequence[Column]
    rows: Iterable[Sequence[Any]]


def trial_rows(listing: StudyTrials) -> Rows:
    """Returns a row for each trial."""
    objectives = len(listing.directions)
    values = ["value"] if objectives == 1 else [f"values_{index}" for index in range(objectives)]
    params = {name: kind_of_parameter(found) for name, found in listing.parameters().items()}
    attributes = kinds_of_attributes(listing.attributes())
    columns = [Column(name, kind) for name, kind, _ in _BEFORE]
    columns += [Column(name, "float") for name in values]
    columns += [Column(name, kind) for name, kind, _ in _AFTER]
    columns += [Column(f"params_{name}", kind) for name, kind in params.items()]
    columns += [Column(f"user_attrs_{name}", kind) for name, kind in attributes.items()]

    def rows() -> Iterator[list[Any]]:
        for trial in listing.trials(listing.heads()):
            found = trial.head.values
            yield [
                *(_given(get(trial)) for _, _, get in _BEFORE),
                *(found[index] if index < len(found) else UNSET for index in range(objectives)),
                *(_given(get(trial)) for _, _, get in _AFTER),
                *(trial.params.get(name, UNSET) for name in params),
                *(trial.user_attrs.get(name, UNSET) for name in attributes),
            ]

    return Rows(columns, rows())


def epoch_rows(listing: StudyTrials) -> Rows:
    """Returns a row for each report."""
    columns = [Column("number", "integer"), Column("step", "integer"), Column("value", "float")]
    return Rows(columns, listing.reports())


_Fixed = tuple[str, Kind, Callable[[ListedTrial], Any]]


def _measured(name: str) -> Callable[[ListedTrial], int | None]:
    return lambda trial: trial.measured.get(name)


_BEFORE: Final[tuple[_Fixed, ...]] = (
    ("number", "integer", lambda trial: trial.head.number),
    ("state", "text", lambda trial: trial.head.state),
)
_AFTER: Final[tuple[_Fixed, ...]] = (
    ("datetime_start", "time", lambda trial: trial.head.started),
    ("datetime_complete", "time", lambda trial: trial.head.ended),
    ("duration", "float", lambda trial: trial.head.lasted()),
    ("epochs", "integer", lambda trial: trial.head.epochs),
    ("last_step", "integer", lambda trial: trial.last_step),
    ("last_value", "float", lambda trial: trial.last_value),
    ("attempts", "integer", lambda trial: trial.head.attempts),
    ("epochs_trained_again", "integer", lambda trial: trial.redone),
    ("host", "text", lambda trial: trial.last.host or None if trial.last else None),
    ("slot", "text", lambda trial: trial.last.slot or None if trial.last else None),
    ("device", "text", lambda trial: trial.last.device or None if trial.last else None),
    *((each.name, "integer", _measured(each.name)) for each in MEASUREMENTS),
    ("cause", "text", lambda trial: describe_end(trial.user_attrs) or None),
    ("feasible", "boolean", lambda trial: trial.head.feasible),
)


def _given(value: Any) -> Any:
    return UNSET if value is None else value


def lossless(value: Any) -> Any:
    """Returns the value as JSON can hold it: NaN and infinities as text that Python and JavaScript read back."""
    return plain(value, special)


def special(value: float) -> str:
    """Returns the name of NaN or an infinity."""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def kind_of_parameter(found: Iterable[BaseDistribution]) -> Kind:
    """Returns the kind of the values of a parameter that has had these distributions."""
    kinds: set[str] = set()
    for each in found:
        if isinstance(each, FloatDistribution):
            kinds.add("float")
        elif isinstance(each, IntDistribution):
            kinds |= {_kind(each.low), _kind(each.high)}
        elif isinstance(each, CategoricalDistribution):
            kinds |= set(map(_kind, each.choices))
    return _one(kinds)


def kinds_of_attributes(attributes: Iterable[tuple[str, Any]]) -> dict[str, Kind]:
    """Returns the kind of the values of each attribute."""
    kinds: dict[str, set[str]] = {}
    for key, value in attributes:
        kinds.setdefault(key, set()).add(_kind(value))
    return {key: _one(found) for key, found in kinds.items()}


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if abs(value) <= _EXACT else "long" if abs(value) < _LARGEST else "json"
    return "float" if isinstance(value, float) else "text" if isinstance(value, str) else "json"


def _one(kinds: set[str]) -> Kind:
    """Returns the one kind that holds values of all these."""
    left = kinds - {"null"}
    if left <= {"integer", "long"} and left:
        return "integer"
    if left == {"float"} or left == {"integer", "float"}:
        return "float"
    if left == {"boolean"}:
        return "boolean"
    return "text" if left <= {"text"} else "json"
