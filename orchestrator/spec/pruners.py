"""A pruner of Optuna's kind that a spec asks for. Optuna is imported when a function here is called, not before."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.errors import BadInput
from orchestrator.spec.faults import dotted, nearest, show
from orchestrator.spec.pruner import OPTUNAS, OptunaPruner, PatientPruner, PrunerTable
from orchestrator.spec.signature import check_kind, kinds

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

    from orchestrator.spec.model import Spec

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def check_pruner(spec: Spec, source: str = "") -> None:
    """Builds what [pruner] and [shadow] name of Optuna's kind once and throws it away.

    Raises:
        BadInput: there is no such class, it is no pruner, or it does not take these arguments.
    """
    try:
        _check_table(spec.pruner, "pruner")
        _check_table(spec.shadow, "shadow")
    except BadInput as error:
        if not source:
            raise
        raise BadInput(f"{source}: {error.where}", error.problem, error.remedy) from None


def _check_table(table: PrunerTable, key: str) -> None:
    if isinstance(table, PatientPruner) and table.wrapped is not None:
        _check_table(table.wrapped, f"{key}.wrapped")
    elif isinstance(table, OptunaPruner):
        build_pruner(table.name, table.arguments(), key)


def build_pruner(name: str, arguments: Mapping[str, Any], key: str = "pruner") -> BasePruner:
    """Returns a new pruner.

    Args:
        name: One of ``OPTUNAS``, or ``module:Class``.
        arguments: Its keyword arguments.
        key: Where the table stands, for messages.

    Raises:
        BadInput: as ``check_pruner``.
    """
    maker = _find(name, f"{key}.name")
    with warnings.catch_warnings():
        # An experimental class works on this Optuna, and the user has asked for it by its name.
        warnings.simplefilter("ignore")
        # A class that has no signature says itself what it does not take.
        with contextlib.suppress(ValueError):
            _check_arguments(name, arguments, inspect.signature(maker).parameters, key)
        try:
            return maker(**arguments)
        except Exception as error:
            raise BadInput(key, f"'{name}' cannot be made of these arguments: {_said(error)}") from None


def _find(name: str, where: str) -> type[BasePruner]:
    """Imports the class."""
    import optuna

    module, _, path = name.partition(":")
    if not path:
        if name not in OPTUNAS:
            raise BadInput(where, f"there is no {show(name)}", nearest(name, OPTUNAS))
        module, path = "optuna.pruners", "".join(part.capitalize() for part in name.split("_")) + "Pruner"
    importlib.invalidate_caches()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            remedy = "it must be importable from where the search is started and where it is decided"
            raise BadInput(where, f"there is no module '{error.name}'", remedy) from None
        raise BadInput(where, f"importing '{module}' failed: {_said(error)}") from None
    except (Exception, SystemExit) as error:
        raise BadInput(where, f"importing '{module}' failed: {_said(error)}") from None
    wanted = optuna.pruners.BasePruner
    names = [each for each, item in vars(found).items() if isinstance(item, type) and issubclass(item, wanted)]
    for part in path.split("."):
        if not hasattr(found, part):
            remedy = nearest(part, names) if names else "it defines no pruner"
            raise BadInput(where, f"'{module}' has no '{path}'", remedy)
        found = getattr(found, part)
    if not isinstance(found, type) or not issubclass(found, wanted):
        raise BadInput(where, f"'{name}' is no pruner", "it must be a subclass of optuna.pruners.BasePruner")
    return found


def _check_arguments(
    name: str, arguments: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter], key: str
) -> None:
    """Holds names, and types where they are plain, against the constructor's signature."""
    known = {each: parameter for each, parameter in parameters.items() if parameter.kind in _NAMED}
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    for each, value in arguments.items():
        where = f"{key}.{dotted((each,))}"
        if each in known:
            if wanted := kinds(known[each]):
                check_kind(where, value, wanted)
        elif not takes_any:
            raise BadInput(where, f"'{name}' has no such argument", nearest(each, known) if known else "it takes none")
    for each, parameter in known.items():
        if parameter.default is inspect.Parameter.empty and each not in arguments:
            raise BadInput(f"{key}.{each}", "required key missing", f"'{name}' needs it")


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text:.300}" if text else type(error).__name__
