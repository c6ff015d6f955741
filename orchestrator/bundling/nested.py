"""Functions that are defined inside other ones: their source becomes a definition at the top level of the bundle."""

from __future__ import annotations

import ast
import textwrap
from types import FunctionType

from orchestrator.bundling.callables import is_lambda
from orchestrator.bundling.names import bound_names, read_names
from orchestrator.bundling.selection import Selection, module_line
from orchestrator.bundling.sources import Source
from orchestrator.common.errors import BadInput
from orchestrator.common.faults import show

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def hoist(function: FunctionType, where: str, sources: list[Source], selection: Selection) -> list[str]:
    """Returns the source of the function, and of the nested functions that it calls, as definitions at the top level.

    Raises:
        BadInput: its source is lost, or it is a closure over data.
    """
    return _Hoist(where, sources, selection).take(function)


class _Hoist:
    def __init__(self, where: str, sources: list[Source], selection: Selection) -> None:
        self._where = where
        self._sources = sources
        self._selection = selection
        self._taken: dict[str, FunctionType] = {}

    def take(self, function: FunctionType) -> list[str]:
        name = function.__name__
        if self._taken.setdefault(name, function) is not function:
            raise BadInput(self._where, f"uses two nested functions '{name}'", "move them to the top level of the file")
        node, source, around = self._find(function)
        lines = self._closure(function)
        free = set(function.__code__.co_freevars)
        local = _locals_of(around)
        for read in sorted(read_names(node) - free - {name}):
            if read in local and _reads_at_definition(node, read):
                self._refuse_data(read, "takes a default, a decorator or a type hint from")
            self._selection.add(read, name)
        return [*lines, _text_of(node, source)]

    def _find(self, function: FunctionType) -> tuple[_Function, Source, list[_Function]]:
        first = function.__code__.co_firstlineno
        for source in reversed(self._sources):
            for node, around in _functions(source.tree, []):
                starts = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                if node.name == function.__name__ and starts == first:
                    return node, source, around
        raise BadInput(
            self._where, "was made by exec, eval or a decorator, and has no source", "write it into a file or a cell"
        )

    def _closure(self, function: FunctionType) -> list[str]:
        """Returns the lines that give the function what it has from the function around it."""
        lines = []
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:
                self._refuse_data(name, "is a closure over")
            if value is self._taken.get(name):
                continue
            if line := module_line(name, value):
                lines.append(line)
            elif isinstance(value, FunctionType) and not is_lambda(value) and value.__globals__ is function.__globals__:
                lines += self.take(value) + ([f"{name} = {value.__name__}"] if name != value.__name__ else [])
            else:
                what = f", which is {show(value)}"
                self._refuse_data(name, "is a closure over", what, is_definition=isinstance(value, type))
            if self._selection.knows(name):
                problem = f"uses a '{name}' of the function around it and another one of the module"
                raise BadInput(self._where, problem, "give one of them another name")
        return lines

    def _refuse_data(self, name: str, how: str, what: str = "", *, is_definition: bool = False) -> None:
        problem = f"{how} '{name}'{what} of the function around it"
        remedy = f"give it a parameter '{name}' and hand the value over by args={{'{name}': …}}"
        if is_definition:
            remedy = f"move '{name}' to the top level of the file"
        raise BadInput(self._where, problem, remedy)


def _functions(node: ast.AST, around: list[_Function]) -> list[tuple[_Function, list[_Function]]]:
    found = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _Function):
            found += [(child, around), *_functions(child, [*around, child])]
        else:
            found += _functions(child, around)
    return found


def _locals_of(around: list[_Function]) -> set[str]:
    names = set()
    for each in around:
        arguments = each.args
        for argument in (
            *arguments.posonlyargs,
            *arguments.args,
            *arguments.kwonlyargs,
            arguments.vararg,
            arguments.kwarg,
        ):
            names |= {argument.arg} if argument else set()
        names |= {name for statement in each.body for name in bound_names(statement)}
    return names


def _reads_at_definition(node: _Function, name: str) -> bool:
    arguments = node.args
    parts = [*node.decorator_list, *arguments.defaults, *filter(None, arguments.kw_defaults)]
    hints = [each.annotation for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    parts += [hint for hint in (*hints, node.returns) if hint is not None]
    return any(isinstance(each, ast.Name) and each.id == name for part in parts for each in ast.walk(part))


def _text_of(node: _Function, source: Source) -> str:
    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
    lines = source.text.split("\n")[first - 1 : node.end_lineno]
    text = textwrap.dedent("\n".join(lines))
    try:
        same = ast.dump(ast.parse(text)) == ast.dump(ast.Module([node], []))
    except SyntaxError:
        same = False
    # A text in several lines would lose the blanks before them.
    return text if same else ast.unparse(node)
