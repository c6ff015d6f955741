"""Values that Python code gives for the keys of a spec, as a spec's file would hold them."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.api import optuna_objects
from orchestrator.common.errors import BadInput
from orchestrator.common.faults import show


def spec_table(given: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Returns the spec as data, as from TOML; keys that are ``None`` are left out.

    Args:
        given: Values by key: also Optuna's samplers, pruners and distributions, classes of exceptions, numpy's numbers.
        source: Begins the messages.

    Raises:
        BadInput: a value says what no spec can.
    """
    table = {
        key: plain(value) if isinstance(value, str) else value for key, value in given.items() if value is not None
    }
    try:
        return _read(table)
    except BadInput as error:
        raise error.within(source) from None
    except RecursionError:
        raise BadInput(source, "a value holds itself, or is nested too deep", "flatten it") from None


def _read(table: dict[str, Any]) -> dict[str, Any]:
    for key, read in _READERS.items():
        if key in table:
            table[key] = read(table[key])
    _read_sampler(table)
    for key in ("pruner", "shadow"):
        if key in table:
            table[key] = _pruner(table[key], key)
    return {key: _plain_key(key, value) for key, value in table.items()}


def _plain_key(key: str, value: Any) -> Any:
    try:
        return plain(value)
    except RecursionError:
        raise
    except Exception as error:
        # An object of the user's own, whose methods raise.
        problem = f"holds a value that cannot be read: {type(error).__name__}"
        raise BadInput(key, problem, "give values of Python's own") from None


def plain(value: Any) -> Any:
    """Returns a value with mappings as dictionaries, sequences as lists, and numbers of numpy's as Python's own."""
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | range | set | frozenset):
        return [plain(item) for item in (sorted(value, key=repr) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, str):
        # Of a class of the user's own, perhaps.
        return str.__str__(value)
    # numpy's numbers and arrays, and tensors.
    if hasattr(value, "tolist") and callable(value.tolist):
        return plain(value.tolist())
    return value


def _space(space: Any) -> Any:
    if not isinstance(space, Mapping):
        return space
    return {
        name: optuna_objects.parameter_table(value) if optuna_objects.is_optunas(value, "BaseDistribution") else value
        for name, value in space.items()
    }


def _catch(catch: Any) -> Any:
    """Returns exceptions by their names, as the class and its module spell them."""
    if isinstance(catch, type):
        catch = (catch,)
    if not isinstance(catch, list | tuple | set | frozenset):
        return catch
    return [_class_name(each) if isinstance(each, type) else each for each in catch]


def _class_name(cls: type) -> str:
    if cls.__module__ in ("builtins", "__main__"):
        return cls.__qualname__
    return f"{cls.__module__}.{cls.__qualname__}"


def _read_sampler(table: dict[str, Any]) -> None:
    """Puts the table [sampler] and the seed into the spec."""
    sampler = table.get("sampler")
    if isinstance(sampler, str):
        table["sampler"] = {"name": sampler}
    elif isinstance(sampler, type):
        table["sampler"] = {"name": _reference(sampler, "sampler")}
    elif optuna_objects.is_optunas(sampler, "BaseSampler"):
        table["sampler"], seed = optuna_objects.sampler_table(sampler)
        if seed is not None and table.setdefault("seed", seed) != seed:
            problem = f"is {show(table['seed'])}, and the sampler has the seed {seed}"
            raise BadInput("seed", problem, "give one of them")
        if (grid := optuna_objects.grid_of(sampler)) is not None:
            _check_grid(grid, table)


def _check_grid(grid: dict[str, list[Any]], table: Mapping[str, Any]) -> None:
    """Refuses a grid that is not the one of the table [space], from which a spec takes it."""
    written = ", ".join(f'"{name}": {{"type": "categorical", "choices": {values!r}}}' for name, values in grid.items())
    remedy = f"say space={{{written}}}" if len(written) < 300 else "declare its parameters in space="
    space = table.get("space")
    if space is None:
        raise BadInput("sampler", "is a GridSampler, and a spec takes the grid from space=", remedy)
    from orchestrator.spec.model import validate
    from orchestrator.spec.sampler_factory import grid as grid_of_spec

    probe = {"name": "grid", "objective": "module:function", "trials": 1, "sampler": {"name": "grid"}}
    spec = validate({**probe, "space": plain(space)}, "Search")
    declared = {name: sorted(values, key=repr) for name, values in grid_of_spec(spec).items()}
    if declared != {name: sorted(plain(values), key=repr) for name, values in grid.items()}:
        raise BadInput("sampler", "is a GridSampler whose values are not those of space=", remedy)


def _pruner(pruner: Any, key: str) -> Any:
    if isinstance(pruner, str):
        from orchestrator.spec.inline_pruner import read_pruner

        return read_pruner(pruner, key).model_dump(exclude_unset=True) if " " in pruner else {"name": pruner}
    if isinstance(pruner, type):
        return {"name": _reference(pruner, key)}
    if optuna_objects.is_optunas(pruner, "BasePruner"):
        return optuna_objects.pruner_table(pruner, key)
    return pruner


def _reference(cls: type, key: str) -> str:
    """Returns the name of a class as a spec gives it."""
    if cls.__module__ == "__main__" or "<locals>" in cls.__qualname__:
        problem = f"is the class {cls.__qualname__} of this program, and the control plane imports it elsewhere"
        raise BadInput(key, problem, "put it into a module that can be imported")
    return f"{cls.__module__}:{cls.__qualname__}"


_READERS: dict[str, Callable[[Any], Any]] = {"space": _space, "catch": _catch}
