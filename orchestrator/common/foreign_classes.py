"""Classes that a spec names as ``module:Class``: found, held against their signature, and made."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import warnings
from collections.abc import Mapping
from typing import Any

from orchestrator.common.errors import BadInput
from orchestrator.common.faults import dotted, nearest
from orchestrator.common.signatures import check_kind, kinds

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def find(reference: str, wanted: type, word: str, where: str) -> Any:
    """Imports the class ``module:Class``.

    Args:
        reference: What the spec says.
        wanted: What it must be a subclass of.
        word: What such a class is called, for messages.
        where: The key.

    Raises:
        BadInput: it cannot be imported, is not there, or is no such class.
    """
    module, _, path = reference.partition(":")
    importlib.invalidate_caches()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            remedy = "it must be importable from where the search is started and where it is decided"
            raise BadInput(where, f"there is no module '{error.name}'", remedy) from None
        raise BadInput(where, f"importing '{module}' failed: {said(error)}") from None
    except (Exception, SystemExit) as error:
        raise BadInput(where, f"importing '{module}' failed: {said(error)}") from None
    names = [each for each, item in vars(found).items() if isinstance(item, type) and issubclass(item, wanted)]
    for part in path.split("."):
        if not hasattr(found, part):
            remedy = nearest(part, names) if names else f"it defines no {word}"
            raise BadInput(where, f"'{module}' has no '{path}'", remedy)
        found = getattr(found, part)
    if not isinstance(found, type) or not issubclass(found, wanted):
        shown = f"optuna.{word}s.{wanted.__name__}"
        raise BadInput(where, f"'{reference}' is no {word}", f"it must be a subclass of {shown}")
    return found


def make(maker: Any, name: str, arguments: Mapping[str, Any], key: str) -> Any:
    """Returns a new instance.

    Args:
        maker: The class.
        name: What the spec calls it.
        arguments: Its keyword arguments.
        key: Where the table stands, for messages.

    Raises:
        BadInput: it does not take these arguments.
    """
    with warnings.catch_warnings():
        # An experimental class works on this Optuna, and the user has asked for it by its name.
        warnings.simplefilter("ignore")
        # A class that has no signature says itself what it does not take.
        with contextlib.suppress(ValueError):
            _check_arguments(name, arguments, inspect.signature(maker).parameters, key)
        try:
            return maker(**arguments)
        except (Exception, SystemExit) as error:
            raise BadInput(key, f"'{name}' cannot be made of these arguments: {said(error)}") from None


def takes(maker: Any, argument: str) -> bool:
    """Whether the class has a keyword argument of that name."""
    try:
        parameter = inspect.signature(maker).parameters.get(argument)
    except ValueError:
        return False
    return parameter is not None and parameter.kind in _NAMED


def said(error: BaseException) -> str:
    """Returns what an error says, on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text:.300}" if text else type(error).__name__


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
