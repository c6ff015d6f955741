"""Classes that a spec names, of Optuna or of the user: their names, their signatures, and making an instance."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import re
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.common.errors import BadInput, did_you_mean
from orchestrator.common.faults import Fault, beneath, dotted, got, show
from orchestrator.common.field_types import split_reference

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_PLAIN: dict[str, tuple[tuple[type, ...], str]] = {
    "bool": ((bool,), "true or false"),
    "int": ((int,), "an integer"),
    "float": ((float, int), "a number"),
    "str": ((str,), "a string"),
    "dict": ((dict,), "a table"),
    "dict[str, Any]": ((dict,), "a table"),
}


def check_class_name(name: str, word: str, known: Iterable[str], also_called: Mapping[str, str]) -> None:
    """Lets a reference ``module:Class`` pass, and answers any other name with the nearest known one.

    Args:
        name: What the spec says; not one of the known names.
        word: What it names, such as ``pruner``.
        known: The names there are.
        also_called: What other programs call them: known name by other name.

    Raises:
        Fault: it is no reference.
    """
    names = tuple(known)
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", re.split(r"[.:]", name[:100])[-1]).lower()
    plain = words.replace("-", "_").removesuffix(word).rstrip("_")
    ours = plain if plain in names else also_called.get(plain)
    if ":" not in name and ours is not None:
        raise Fault(f"there is no {show(name)}", f"here it is called '{ours}'", ("name",))
    if ":" in name or "." in name:
        with beneath("name"):
            split_reference(name, "module:Class", f"mypackage.{word}s:My{word.capitalize()}")
        return
    remedy = did_you_mean(plain, names)
    if not remedy.startswith("did"):
        remedy = f"{remedy}, or 'module:Class', any {word} of Optuna's kind"
    raise Fault(f"there is no {show(name)}", remedy, ("name",))


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
            remedy = did_you_mean(part, names) if names else f"it defines no {word}"
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
    """Returns what an error of foreign code says, on one line."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # its own __str__ may raise anything
        text = ""
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
            raise BadInput(
                where, f"'{name}' has no such argument", did_you_mean(each, known) if known else "it takes none"
            )
    for each, parameter in known.items():
        if parameter.default is inspect.Parameter.empty and each not in arguments:
            raise BadInput(f"{key}.{each}", "required key missing", f"'{name}' needs it")


def kinds(parameter: inspect.Parameter) -> list[str]:
    """Returns which plain types the parameter's annotation allows; none where it wants an object."""
    annotation = parameter.annotation
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    # No plain type's name has a bar inside, so a callable's arguments only yield pieces that are not plain.
    parts = [part for part in re.split(r"\s*\|\s*", text) if part != "None"]
    return parts if all(part in _PLAIN for part in parts) else []


def check_kind(where: str, value: Any, wanted: list[str]) -> None:
    """Checks a value against what ``kinds`` returned.

    Raises:
        BadInput: it is of none of these.
    """
    if not any(
        isinstance(value, _PLAIN[kind][0]) and (kind == "bool" or not isinstance(value, bool)) for kind in wanted
    ):
        raise BadInput(where, got(value), "it must be " + " or ".join(_PLAIN[kind][1] for kind in wanted))
