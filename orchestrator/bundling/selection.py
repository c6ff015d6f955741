"""The statements of a namespace that a function needs, found from the names that it and they read."""

from __future__ import annotations

import ast
import builtins
import os
import sys
from importlib.machinery import SourceFileLoader
from types import BuiltinFunctionType, FunctionType, ModuleType, NoneType
from typing import Any

from orchestrator.bundling.effects import SHOW, Effects
from orchestrator.bundling.literals import are_equal, literal_of
from orchestrator.bundling.names import (
    STAR,
    annotation_names,
    bound_names,
    changed_names,
    is_conditional,
    is_dotted_import,
    looked_up_names,
    own_scope,
    read_at_once,
    read_names,
    set_as_global,
    sets_part,
)
from orchestrator.bundling.registration import Definition, Registrations
from orchestrator.bundling.sources import Source, Statement, compiled_functions, statements_of
from orchestrator.common.errors import BadInput
from orchestrator.common.faults import show

_OF_NOTEBOOKS = ("get_ipython", "In", "Out", "_ih", "_oh", "_dh", "exit", "quit")
_SEARCHES = ("orchestrator", "optuna")
"""Packages whose calls at the top level begin a search, or set up the caller's own output."""

_COMMAND_LINE = ("parse_args", "parse_known_args", "parse_intermixed_args")


class Selection:
    """Collects statements.

    Args:
        where: Begins every message.
        namespace: The globals of the function.
        sources: What ran in that namespace.

    Attributes:
        chosen: Statements that are needed.
        imports: Lines for modules that are in the namespace and that no statement has imported.
    """

    def __init__(self, where: str, namespace: dict[str, Any], sources: list[Source]) -> None:
        self._where = where
        self._namespace = namespace
        self._statements = statements_of(sources)
        self._bound = {each: bound_names(each.node) for each in self._statements if not each.is_main_guard}
        self._in_guard = {
            name
            for each in self._statements
            if each.is_main_guard
            for inner in _body(each.node)
            for name in bound_names(inner)
        }
        self._set_in_functions = {name for each in self._bound for name in set_as_global(each.node)}
        self._by_name: dict[str, list[Statement]] = {}
        for each, names in self._bound.items():
            for name in names:
                self._by_name.setdefault(name, []).append(each)
        self._known: set[str] = set()
        self._literals: dict[str, tuple[Statement, Any]] = {}
        self._entry = ""
        self._changed: dict[Statement, set[str]] = {}
        self._registrations = Registrations(namespace, self._definition_of, [each.node for each in self._bound])
        self._effects = Effects(namespace, self._definition_of)
        self.chosen: set[Statement] = set()
        self.imports: list[str] = []

    @property
    def statements(self) -> list[Statement]:
        """The chosen statements, in the order in which they ran."""
        return [each for each in self._statements if each in self.chosen]

    @property
    def has_guard(self) -> bool:
        """Whether there is a main guard, and what runs now, if anything, runs inside it."""
        guards = [each for each in self._statements if each.is_main_guard]
        return bool(guards) and not any(each.is_running for each in self._bound)

    def add(self, name: str, by: str = "") -> None:
        """Adds what binds a name, and all that this needs.

        Args:
            name: A global name.
            by: The name whose statement reads it; empty for the objective itself.

        Raises:
            BadInput: the name has a value that its source does not give.
        """
        self._entry = self._entry or name
        waiting = [(name, by)]
        while waiting:
            each, reader = waiting.pop()
            if each not in self._known:
                self._known.add(each)
                waiting += [
                    (other, each) for statement in self._choose(each, reader) for other in self._needs(statement)
                ]
            if not waiting:
                more = self._changes() or self._read_before()
                waiting += [(other, self._entry) for statement in more for other in self._needs(statement)]

    def binds(self, name: str) -> bool:
        """Whether a statement binds the name."""
        return bool(self._bindings(name))

    def knows(self, name: str) -> bool:
        """Whether the name is needed."""
        return name in self._known

    def check_literals(self) -> None:
        """Refuses constants that are not what their source says. Raises BadInput."""
        roots = {name for each in self.chosen for name in self._changed_by(each) | set_as_global(each.node)}
        changed = self._effects.touched(roots, self._literals)
        for name, (statement, value) in self._literals.items():
            if name in changed or name not in self._known or name not in self._namespace:
                continue
            now = self._namespace[name]
            if not are_equal(now, value):
                problem = f"uses '{name}', which is {show(now)} now and {show(value)} in {statement.place}"
                raise BadInput(self._where, problem, self._by_args(name))

    def _needs(self, statement: Statement) -> list[str]:
        hints = {name for name in annotation_names(statement.node) if self._bindings(name)}
        if (looked_up := looked_up_names(statement.node)) is None:
            problem = f"{statement.place} looks names up by globals(), and which ones is not written there"
            raise BadInput(self._where, problem, "name what it uses, or put what starts the search under a main guard")
        return sorted(read_names(statement.node) | hints | looked_up)

    def _choose(self, name: str, reader: str) -> list[Statement]:
        """Chooses the statements that give a name its value; returns those that are new."""
        bindings = self._bindings(name)
        if not bindings:
            return self._choose_unbound(name, reader)
        new = []
        if name in self._in_guard:
            self._check_guard(name, bindings[-1])
        bindings = self._up_to_the_one_that_counts(name, bindings)
        for statement in reversed(bindings):
            self._check(name, statement, is_last=statement is bindings[-1])
            if statement not in self.chosen:
                self.chosen.add(statement)
                new.append(statement)
            node = statement.node
            if not is_conditional(node) and not is_dotted_import(node) and name not in read_at_once(node):
                break
        if (literal := literal_of(name, bindings[-1].node)) is not None:
            self._literals[name] = bindings[-1], literal[0]
        return new

    def _up_to_the_one_that_counts(self, name: str, bindings: list[Statement]) -> list[Statement]:
        """Leaves out statements at the end of a cell that an error has kept from running."""
        value = self._namespace.get(name)
        for place in reversed(range(len(bindings))):
            statement = bindings[place]
            if statement.source.file:
                break
            literal = literal_of(name, statement.node)
            if literal is not None and are_equal(value, literal[0]):
                return bindings[: place + 1]
            if isinstance(value, FunctionType) and statement.is_definition_of(value.__code__):
                return bindings[: place + 1]
        return bindings

    def _bindings(self, name: str) -> list[Statement]:
        found = self._by_name.get(name, [])
        # What has not run yet defines a function that is called later, at the most.
        return [each for each in found if each.has_run or each.is_running] or (
            [] if name in self._namespace else [each for each in found if isinstance(each.node, _DEFINITIONS)]
        )

    def _choose_unbound(self, name: str, reader: str) -> list[Statement]:
        if name.startswith("__") and name.endswith("__"):
            # Every module has it: ``__file__``, ``__annotations__``.
            return []
        stars = [each for each, names in self._bound.items() if STAR in names and each.has_run]
        stars = [each for each in stars if name in self._namespace and _exports(each.node, name, self._namespace)]
        if stars:
            new = [each for each in stars if each not in self.chosen]
            self.chosen.update(new)
            return new
        used = f"uses '{name}'" if reader in ("", self._entry) else f"uses '{reader}', which uses '{name}'"
        if name in _OF_NOTEBOOKS and name in self._namespace:
            problem = f"{used}: a magic or a shell command, which workers do not have"
            raise BadInput(self._where, problem, "take it out of the function, or hand its result over by args=")
        if name in self._in_guard:
            problem = f"{used}, which is set only under if __name__ == '__main__'"
            raise BadInput(self._where, problem, f"move it above, or {self._by_args(name)}")
        if name not in self._namespace or name in self._set_in_functions:
            # A builtin, a name that is missing here as well, or one that the code sets when it runs.
            return []
        value = self._namespace[name]
        if isinstance(value, ModuleType):
            line = f"import {value.__name__} as {name}"
            self.imports += [line] if line not in self.imports else []
            return []
        if getattr(builtins, name, self) is value:
            return []
        raise BadInput(
            self._where, f"{used}, a {type(value).__name__} whose source cannot be found", self._by_args(name)
        )

    def _check_guard(self, name: str, statement: Statement) -> None:
        """Refuses a name that the main guard sets again, unless its value is that of its source."""
        literal = literal_of(name, statement.node)
        if name in self._namespace and not (literal and are_equal(self._namespace[name], literal[0])):
            problem = f"uses '{name}', which is set again under if __name__ == '__main__'"
            raise BadInput(self._where, problem, self._by_args(name))

    def _check(self, name: str, statement: Statement, *, is_last: bool) -> None:
        """Refuses a statement that would not give the same value on a worker."""
        node = statement.node
        if statement.is_running and not isinstance(node, _DEFINITIONS):
            problem = f"uses '{name}', which {statement.place} sets while it starts the search"
            raise BadInput(self._where, problem, f"set it in a statement of its own before, or {self._by_args(name)}")
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if is_last:
                self._check_unchanged(name, statement)
            return
        if isinstance(node, ast.ClassDef | ast.Import | ast.ImportFrom):
            return
        if any(isinstance(each, ast.Await) for each in own_scope(node)):
            problem = f"uses '{name}', which {statement.place} sets by an await outside of a function"
            raise BadInput(self._where, problem, "call asyncio.run there")
        for each in ast.walk(node):
            attribute = each.attr if isinstance(each, ast.Attribute) else ""
            asked = isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id == "input"
            argv = attribute == "argv" and isinstance(each, ast.Attribute) and _is_name(each.value, "sys")
            if asked or argv or attribute in _COMMAND_LINE:
                problem = f"uses '{name}', which {statement.place} reads from the command line"
                raise BadInput(self._where, problem, self._by_args(name))
            if isinstance(each, ast.Name) and each.id == "get_ipython":
                problem = f"uses '{name}', which {statement.place} sets by a magic or a shell command"
                raise BadInput(self._where, problem, self._by_args(name))

    def _check_unchanged(self, name: str, statement: Statement) -> None:
        """Refuses a function that its source does not give any more."""
        value = self._namespace.get(name)
        if not isinstance(value, FunctionType) or value.__name__ != name or not statement.source.file:
            return
        code, decorated = value.__code__, bool(getattr(statement.node, "decorator_list", []))
        if decorated or name != value.__qualname__:
            return
        if os.path.abspath(code.co_filename) != os.path.abspath(statement.source.file):
            raise BadInput(
                self._where, f"'{name}' was made by exec or eval, and has no source", "write it into the file"
            )
        moved = code.co_firstlineno != statement.first
        loader = getattr(self._namespace.get("__spec__"), "loader", None)
        # A loader of another kind, such as that of pytest, compiles something else than what it reads.
        if moved or (type(loader) in (SourceFileLoader, NoneType) and code not in compiled_functions(statement.source)):
            problem = f"'{name}' is not what stands in {statement.source.title} now"
            raise BadInput(self._where, problem, "the file was changed since it was loaded: start again")

    def _changes(self) -> list[Statement]:
        """Chooses the statements that change objects of chosen names; returns those that are new."""
        plain = {name for name in self._by_name if name in self._known or self._is_plain(name)} | set(dir(builtins))
        new = []
        for statement in self._bound:
            if statement in self.chosen or not statement.has_run:
                continue
            defines = isinstance(statement.node, _DEFINITIONS)
            roots = self._effects.touched(self._changed_by(statement), self._known)
            if not roots or any(self._begins_a_search(root) for root in roots):
                continue
            read = read_names(statement.node) | bound_names(statement.node)
            if self._entry in read:
                continue
            others = read - plain - bound_names(statement.node)
            if others and not self._searches_nothing(others):
                continue
            # What a call of a library's function does with other objects is not known.
            of_library = all(map(self._is_of_library, roots))
            if others and of_library and not (sets_part(statement.node) or defines):
                continue
            if others and sets_part(statement.node) and not statement.source.file:
                # An assignment in a notebook may have failed.
                problem = f"uses '{min(roots)}', of which {statement.place} sets a part by more than a constant"
                raise BadInput(
                    self._where, problem, f"set it in a function that makes it, or {self._by_args(min(roots))}"
                )
            self.chosen.add(statement)
            new.append(statement)
        return new

    def _read_before(self) -> list[Statement]:
        """Chooses what chosen statements have read, and later ones have bound anew; returns those that are new."""
        new = set[Statement]()
        for statement in self.chosen:
            for name in read_at_once(statement.node):
                before = [each for each in self._bindings(name) if each.position < statement.position]
                if before and not self.chosen.intersection(before):
                    self._check(name, before[-1], is_last=False)
                    new.add(before[-1])
        self.chosen |= new
        return sorted(new, key=lambda each: each.position)

    def _changed_by(self, statement: Statement) -> set[str]:
        """Returns the names whose objects a statement may change."""
        if statement not in self._changed:
            changed = changed_names(statement.node)
            if isinstance(statement.node, _DEFINITIONS):
                # What a library's decorator makes is a function like any other.
                changed = {root for root in changed if not isinstance(self._namespace.get(root), ModuleType)}
                changed |= self._registrations.changed_by(statement.node)
            else:
                changed |= self._effects.changed_by(statement.node)
            self._changed[statement] = changed
        return self._changed[statement]

    def _definition_of(self, name: str) -> Definition | None:
        found = [each.node for each in self._bindings(name) if isinstance(each.node, Definition)]
        return found[-1] if found else None

    def _searches_nothing(self, names: set[str]) -> bool:
        """Whether what the names lead to neither reads the objective nor begins a search."""
        looked, waiting = set[str](), set(names)
        while waiting:
            looked |= waiting
            if self._entry in waiting or any(map(self._begins_a_search, waiting)):
                return False
            waiting = {
                read for name in waiting for each in self._bindings(name) for read in read_names(each.node)
            } - looked
        return True

    def _is_plain(self, name: str) -> bool:
        """Whether the name is a module or a constant, so that reading it brings nothing else."""
        bindings = self._bindings(name)
        return bool(bindings) and all(
            isinstance(each.node, ast.Import | ast.ImportFrom) or literal_of(name, each.node) is not None
            for each in bindings
        )

    def _is_of_library(self, root: str) -> bool:
        """Whether the name is a module, or an object that only shows what it is told, such as a logger."""
        value = self._namespace.get(root)
        return isinstance(value, ModuleType) or type(value).__module__.partition(".")[0] in SHOW

    def _begins_a_search(self, root: str) -> bool:
        value = self._namespace.get(root)
        module = value.__name__ if isinstance(value, ModuleType) else type(value).__module__
        return module.partition(".")[0] in _SEARCHES

    def _by_args(self, name: str) -> str:
        return f"give the function a parameter '{name}' and hand the value over by args={{'{name}': …}}"


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


def module_line(name: str, value: Any) -> str:
    """Returns the line that imports what a closure holds; empty where it is data."""
    if isinstance(value, ModuleType):
        return f"import {value.__name__} as {name}"
    module, qualified = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    if (
        not isinstance(value, FunctionType | BuiltinFunctionType | type)
        or not isinstance(module, str)
        or "." in qualified
    ):
        return ""
    found = getattr(sys.modules.get(module), qualified, None)
    return f"from {module} import {qualified} as {name}" if found is value else ""


def _body(node: ast.stmt) -> list[ast.stmt]:
    return node.body if isinstance(node, ast.If) else []


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _exports(node: ast.stmt, name: str, namespace: dict[str, Any]) -> bool:
    """Whether a star import brings the name."""
    if not isinstance(node, ast.ImportFrom):
        return False
    module = node.module or ""
    if node.level:
        package = str(namespace.get("__package__") or "")
        module = ".".join(
            [*package.split(".")[: len(package.split(".")) - node.level + 1], *([module] if module else [])]
        )
    return hasattr(sys.modules.get(module), name)
