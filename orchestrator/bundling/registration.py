"""Definitions that enter themselves into a registry as they run: by a decorator, a base class or a metaclass."""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from orchestrator.bundling.names import bound_names, own_scope, root_name, set_as_global
from orchestrator.bundling.own_modules import is_users
from tasks.import_statements import parse_source, read_file

_Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = _Function | ast.ClassDef
Find = Callable[[str], Definition | None]
"""Returns the definition of a name in one namespace; ``None`` where that is none, or elsewhere."""

_LISTS = "__subclasses__"
_OF_A_BASE = ("__init_subclass__",)
_OF_A_METACLASS = ("__new__", "__init__")
_OF_A_DECORATOR = ("__new__", "__init__", "__call__")


class Registrations:
    """Finds what definitions change beside the names that they bind.

    Args:
        namespace: The globals in which they run.
        find: Finds the definitions there.
        nodes: All statements that ran there.
    """

    def __init__(self, namespace: dict[str, Any], find: Find, nodes: Iterable[ast.stmt]) -> None:
        self._namespace = namespace
        self._find = find
        self._trees: dict[str, ast.Module | None] = {}
        self._lists_subclasses = any(map(_lists_subclasses, nodes))

    def changed_by(self, node: ast.stmt) -> set[str]:
        """Returns the names of the namespace whose objects a definition may change when it runs; of other statements
        none."""
        changed = set[str]()
        if isinstance(node, Definition):
            for decorator in node.decorator_list:
                changed |= self._by_decorator(decorator)
        if isinstance(node, ast.ClassDef):
            metaclasses = [self._value(each.value) for each in node.keywords if each.arg == "metaclass"]
            for base in (*map(self._value, node.bases), *metaclasses):
                changed |= self._by_base(base) if isinstance(base, type) else set()
        return changed

    def _by_decorator(self, decorator: ast.expr) -> set[str]:
        calls = 0
        while isinstance(decorator, ast.Call):
            decorator, calls = decorator.func, calls + 1
        value, root = self._value(decorator), root_name(decorator)
        if isinstance(value, functools.partial):
            value = value.func
        if isinstance(decorator, ast.Name) and (definition := self._find(root)) is not None:
            return changed_by_a_call(definition, self._find, calls).outside
        if isinstance(value, FunctionType | type):
            tree = self._tree_of_own(value.__module__)
            find = self._find if tree is None else _finder(tree)
            is_here = value.__module__ == self._namespace.get("__name__")
            if (tree is None and not is_here) or (definition := find(value.__name__)) is None:
                return set()
            outside = changed_by_a_call(definition, find, calls).outside
            return self._names_of_own_modules() if outside and not is_here else outside
        if value is None or isinstance(value, ModuleType | BuiltinFunctionType):
            return set()
        # An object that is called, or whose method is.
        held = value.__self__ if isinstance(value, MethodType) else value
        names = {root, *(name for name, each in self._namespace.items() if each is held)}
        is_own = self._tree_of_own(type(held).__module__) is not None
        return names | (self._names_of_own_modules() if is_own else set())

    def _by_base(self, base: type) -> set[str]:
        """Returns what a class changes that has this base, or this metaclass."""
        changed = set[str]()
        # A metaclass may say what equals its classes.
        ids = {id(each) for each in (*base.__mro__, type(base))}
        names = {name for name, value in self._namespace.items() if id(value) in ids}
        for cls, methods in (
            *((each, _OF_A_METACLASS if issubclass(base, type) else _OF_A_BASE) for each in base.__mro__),
            *((each, _OF_A_METACLASS) for each in inspect.getmro(type(base))),
        ):
            hooks = [method for method in methods if method in vars(cls)]
            if cls is object or cls is type:
                continue
            if cls.__module__ != self._namespace.get("__name__"):
                tree = self._tree_of_own(cls.__module__)
                if tree is not None and (hooks or _lists_subclasses(tree)):
                    changed |= self._names_of_own_modules() | names
                continue
            definition = self._find(cls.__name__)
            for method in _methods(definition, hooks):
                effect = changed_by_a_call(method, self._find, 0)
                changed |= effect.outside | (names if effect.inside else set())
        return changed | (names if self._lists_subclasses else set())

    def _value(self, expression: ast.expr) -> Any:
        """Returns what a name, or a chain of attributes of one, leads to; ``None`` where nothing can be told."""
        if isinstance(expression, ast.Subscript):
            return self._value(expression.value)
        if isinstance(expression, ast.Attribute):
            owner = self._value(expression.value)
            # An attribute of an object may be computed.
            return vars(owner).get(expression.attr) if isinstance(owner, type | ModuleType) else owner
        return self._namespace.get(expression.id) if isinstance(expression, ast.Name) else None

    def _names_of_own_modules(self) -> set[str]:
        """Returns the names that lead into modules of the user's own; each may use what another one keeps."""
        found = set()
        for name, value in self._namespace.items():
            of = value if isinstance(value, type | FunctionType) else type(value)
            module = value.__name__ if isinstance(value, ModuleType) else of.__module__
            if self._tree_of_own(module) is not None:
                found.add(name)
        return found

    def _tree_of_own(self, module: str) -> ast.Module | None:
        """Returns the source of a module of the user's own that is imported; ``None`` for any other."""
        if module not in self._trees:
            file = getattr(sys.modules.get(module), "__file__", None)
            is_own = module != "__main__" and isinstance(file, str) and is_users(module, file)
            raw = read_file(str(file)) if is_own and module != self._namespace.get("__name__") else None
            self._trees[module] = None if raw is None else parse_source(raw, str(file))
        return self._trees[module]


class Effect(NamedTuple):
    """The effect of a call: the global names that it changes, and whether it changes objects that it is given."""

    outside: set[str]
    inside: bool


def changed_by_a_call(definition: Definition, find: Find, calls: int) -> Effect:
    """Returns what a call of a function or a class may change, by its source.

    Args:
        definition: The function, or the class that an object is made of.
        find: Finds the functions that it calls itself.
        calls: How often what it returns is called in turn: as often as that, functions inside it run, too.
    """
    seen = set[ast.AST]()
    roots = set(_roots_of(definition, find, calls, frozenset(), seen))
    outside = {root for root, is_local in roots if not is_local and not hasattr(builtins, root)}
    return Effect(outside, any(is_local for _, is_local in roots))


def _roots_of(
    definition: Definition, find: Find, calls: int, around: frozenset[str], seen: set[ast.AST]
) -> Iterator[tuple[str, bool]]:
    """Yields the names whose objects are changed, and whether they are variables of functions."""
    if definition in seen:
        return
    seen.add(definition)
    if isinstance(definition, ast.ClassDef):
        for method in _methods(definition, _OF_A_DECORATOR):
            yield from _roots_of(method, find, 0, around, seen)
        return
    as_global = set_as_global(definition)
    local = around | (_variables(definition) - as_global)
    for node in (each for statement in definition.body for each in own_scope(statement)):
        if isinstance(node, _Function):
            if calls:
                yield from _roots_of(node, find, calls - 1, local, seen)
            continue
        for root in _changed_at(node, as_global):
            yield root, root in local
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id not in local:
            called = find(node.func.id)
            if isinstance(called, _Function):
                yield from _roots_of(called, find, 0, frozenset(), seen)


def _changed_at(node: ast.AST, as_global: set[str]) -> Iterator[str]:
    """Yields the names whose objects one node of a function may change."""
    if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
        yield root_name(node)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        yield root_name(node.func)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setattr" and node.args:
        yield root_name(node.args[0])
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in as_global:
        yield node.id


def _variables(function: _Function) -> set[str]:
    arguments = {each.arg for each in ast.walk(function.args) if isinstance(each, ast.arg)}
    return arguments.union(*(bound_names(statement) for statement in function.body))


def _methods(definition: Definition | None, names: Iterable[str]) -> list[_Function]:
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    return [each for each in body if isinstance(each, _Function) and each.name in names]


def _lists_subclasses(node: ast.AST) -> bool:
    return any(isinstance(each, ast.Attribute) and each.attr == _LISTS for each in ast.walk(node))


def _finder(tree: ast.Module) -> Find:
    found = {each.name: each for each in tree.body if isinstance(each, Definition)}
    return found.get
