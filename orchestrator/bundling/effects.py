"""The objects that a statement changes beside the names that it binds: what it calls, uses up, enters or assigns to."""

from __future__ import annotations

import ast
import collections
import functools
import inspect
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import date, timedelta
from itertools import islice
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Final

from orchestrator.bundling.names import bound_names, own_scope, root_name
from orchestrator.bundling.registration import Definition, Find, changed_by_a_call

SHOW: Final = frozenset({"logging", "loguru", "rich", "tqdm"})
"""Packages whose objects show what they are given."""

_LEAVE: Final = SHOW | {"IPython", "csv", "joblib", "json", "matplotlib", "pickle", "plotly", "pprint", "seaborn"}
"""Packages whose functions show or write what they are given, and leave it as it was."""

_WRITE: Final = ("save", "dump", "write", "show", "plot", "print", "display", "log")
_COMPREHENSIONS: Final = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FIXED: Final = (ModuleType, type, str, bytes, int, float, complex, frozenset, range, PurePath, date, timedelta)
_MOST_ITEMS: Final = 1_000
_MOST_OBJECTS: Final = 10_000


class Effects:
    """Finds what statements change.

    Args:
        namespace: The globals in which they ran.
        find: Finds the definitions there.
    """

    def __init__(self, namespace: dict[str, Any], find: Find) -> None:
        self._namespace = namespace
        self._find = find
        self._reached: dict[str, frozenset[int]] = {}

    def changed_by(self, statement: ast.stmt) -> set[str]:
        """Returns the names through which a statement may change objects when it runs."""
        alone = statement.value if isinstance(statement, ast.Expr) else None
        nodes = list(_running(statement))
        # What a loop does to parts of its variable, it does to what it goes through.
        parts = {root_name(each) for each in nodes if isinstance(each, ast.Attribute | ast.Subscript)}
        return {name for node in nodes for name in self._at(node, node is alone, parts) if name}

    def touched(self, roots: set[str], names: Iterable[str]) -> set[str]:
        """Returns those of some names that lead to an object that is changed through one of the roots."""
        changed = frozenset[int]().union(*map(self._reach, roots))
        return {name for name in names if name in roots or not changed.isdisjoint(self._reach(name))}

    def _at(self, node: ast.AST, is_alone: bool, parts: set[str]) -> Iterator[str]:
        match node:
            case ast.Attribute() | ast.Subscript() if not isinstance(node.ctx, ast.Load):
                yield root_name(node)
                yield from self._with_state(node)
            case ast.AugAssign(target=ast.Name(id=name)):
                yield name
            case ast.Name(id=name, ctx=ast.Load()) if hasattr(type(self._namespace.get(name)), "__next__"):
                yield name
            case ast.withitem(context_expr=ast.Name() | ast.Attribute() | ast.Subscript() as entered):
                yield from self._with_state(entered)
            case ast.For() | ast.AsyncFor() | ast.comprehension() if parts & bound_names(node.target):
                yield from self._with_state(node.iter)
            case ast.Call():
                yield from self._by_call(node, is_alone, set())

    def _by_call(self, call: ast.Call, is_alone: bool, seen: set[str]) -> Iterator[str]:
        yield from self._with_state(call.func)
        definition = self._find(call.func.id) if isinstance(call.func, ast.Name) else None
        if definition is not None and definition.name not in seen:
            seen.add(definition.name)
            yield from changed_by_a_call(definition, self._find, 0).outside
            for each in ast.walk(definition):
                if isinstance(each, ast.Call):
                    yield from self._by_call(each, True, seen)
        changes = self._changes_what_it_is_given(call, definition, is_alone=is_alone)
        for given in _given(call):
            if changes or self._is_method(given):
                yield from self._with_state(given)

    def _is_method(self, expression: ast.expr) -> bool:
        """Whether an expression is a method of an object, which what it is given to may call."""
        if not isinstance(expression, ast.Attribute):
            return False
        owner = self._namespace.get(root_name(expression))
        return callable(inspect.getattr_static(owner, expression.attr, None))

    def _changes_what_it_is_given(self, call: ast.Call, definition: Definition | None, *, is_alone: bool) -> bool:
        if isinstance(call.func, ast.Lambda):
            return True
        if definition is not None:
            return changed_by_a_call(definition, self._find, 0).inside or _hands_on(definition)
        root = self._namespace.get(root_name(call.func))
        if not is_alone or root is None:
            return False
        if type(root) not in (ModuleType, FunctionType, BuiltinFunctionType):
            # Only a class of the user's own is expected to change what its methods are given.
            return self._find(type(root).__name__) is not None
        name = call.func.attr if isinstance(call.func, ast.Attribute) else root.__name__
        package = root.__name__ if isinstance(root, ModuleType) else root.__module__ or ""
        return package.partition(".")[0] not in _LEAVE and not name.startswith(_WRITE)

    def _with_state(self, expression: ast.expr) -> Iterator[str]:
        """Yields the names whose objects an expression may lead to, as far as these can change."""
        while isinstance(expression, ast.Attribute | ast.Subscript | ast.Call):
            if isinstance(expression, ast.Call):
                for given in _given(expression):
                    yield from self._with_state(given)
                expression = expression.func
            else:
                expression = expression.value
        if isinstance(expression, ast.Name) and _can_change(self._namespace.get(expression.id)):
            yield expression.id

    def _reach(self, name: str) -> frozenset[int]:
        """Returns the ids of the objects that can change and that a name leads to."""
        if name not in self._reached:
            self._reached[name] = frozenset(_reachable(self._namespace.get(name)))
        return self._reached[name]


def _running(statement: ast.stmt) -> Iterator[ast.AST]:
    for each in own_scope(statement):
        yield from ast.walk(each) if isinstance(each, _COMPREHENSIONS) else [each]


def _given(call: ast.Call) -> Iterator[ast.expr]:
    """Yields what a call is given."""
    for each in (*call.args, *(keyword.value for keyword in call.keywords)):
        yield each.value if isinstance(each, ast.Starred) else each


def _hands_on(definition: Definition) -> bool:
    """Whether a function of the user's own hands something to a function for its effect, or adds to a variable."""
    for each in ast.walk(definition):
        if isinstance(each, ast.AugAssign):
            return True
        if isinstance(each, ast.Expr) and isinstance(each.value, ast.Call):
            called = each.value.func
            name = called.attr if isinstance(called, ast.Attribute) else root_name(called)
            if each.value.args and not name.startswith(_WRITE):
                return True
    return False


def _can_change(value: object) -> bool:
    # By its type: an object may answer for its class as it likes.
    kind = type(value)
    if value is None or issubclass(kind, _FIXED) or _package_of(kind) in (*SHOW, "re"):
        return False
    if kind is FunctionType:
        return bool(value.__closure__)  # type: ignore[attr-defined]
    return kind is not BuiltinFunctionType or _can_change(value.__self__)  # type: ignore[attr-defined]


def _package_of(kind: type) -> str:
    module = vars(kind).get("__module__")
    return module.partition(".")[0] if isinstance(module, str) else ""


def _reachable(value: object) -> Iterator[int]:
    seen, waiting = set[int](), [value]
    while waiting and len(seen) < _MOST_OBJECTS:
        each = waiting.pop()
        if id(each) in seen or not _can_change(each):
            continue
        seen.add(id(each))
        if not isinstance(each, tuple):
            yield id(each)
        waiting += islice(_parts(each), _MOST_ITEMS)


def _parts(value: Any) -> Iterator[object]:
    kind = type(value)
    if issubclass(kind, dict):
        yield from dict.values(value)
    elif kind in (list, tuple, set, collections.deque):
        yield from value
    elif kind in (MethodType, BuiltinFunctionType):
        yield value.__self__
    elif kind is functools.partial:
        yield from (value.func, *value.args, *value.keywords.values())
    elif kind is FunctionType:
        for cell in value.__closure__ or ():
            with suppress(ValueError):
                yield cell.cell_contents
    elif _package_of(kind) == "numpy":
        # A view shares its elements.
        yield getattr(value, "base", None)
    # A class of the user's own may compute it, and raise what it likes.
    with suppress(Exception):
        yield from list(dict.values(object.__getattribute__(value, "__dict__")))
