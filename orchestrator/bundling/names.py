"""The names that a statement binds, reads and changes, from its syntax tree."""

from __future__ import annotations

import ast
import dis
import warnings
from collections.abc import Iterator
from types import CodeType

_READS = ("LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS", "DELETE_GLOBAL", "DELETE_NAME")
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
STAR = "*"


def bound_names(node: ast.AST) -> set[str]:
    """Returns the names that a statement binds in its own scope; ``*`` for a star import."""
    return {name for each in own_scope(node) for name in _bound_by(each)}


def read_names(node: ast.stmt) -> set[str]:
    """Returns the global names that a statement may read, at once or in a function that it defines."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = compile(
            ast.Module([node], []), "<bundle>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
        )
    return set(_read_by(code))


def set_as_global(node: ast.AST) -> set[str]:
    """Returns the names that functions in a statement declare as ``global``."""
    return {name for each in ast.walk(node) if isinstance(each, ast.Global) for name in each.names}


def annotation_names(node: ast.AST) -> set[str]:
    """Returns the names in type hints, also in those that are written as strings."""
    found: set[str] = set()
    for each in ast.walk(node):
        for hint in (getattr(each, "annotation", None), getattr(each, "returns", None)):
            if isinstance(hint, ast.AST):
                found |= _names_of_hint(hint)
    return found


def changed_names(node: ast.stmt) -> set[str]:
    """Returns the names whose objects a statement may change: by an assignment to a part of one, by ``setattr``, a call
    of a method, or a method of one that decorates, as ``register`` does.
    """
    roots: set[str] = set()
    for each in own_scope(node):
        targets: list[ast.expr] = []
        if isinstance(each, ast.Assign | ast.Delete):
            targets = list(each.targets)
        elif isinstance(each, ast.AugAssign | ast.AnnAssign):
            targets = [each.target]
        elif isinstance(each, ast.Expr) and isinstance(each.value, ast.Call | ast.Await):
            call = each.value.value if isinstance(each.value, ast.Await) else each.value
            targets = [call.func] if isinstance(call, ast.Call) else []
            if isinstance(call, ast.Call) and _is_setter(call.func) and call.args:
                roots |= {root_name(call.args[0])} - {""}
        elif isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            # A function that is called decorates by what it returns; a method that is named may keep the function.
            targets = [part.func if isinstance(part, ast.Call) else part for part in each.decorator_list]
        for target in targets:
            if isinstance(target, ast.Attribute | ast.Subscript) and (root := root_name(target)):
                roots.add(root)
    return roots


def sets_part(node: ast.stmt) -> bool:
    """Whether a statement is an assignment, or ``setattr``: it says itself what it changes, as no other call does."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call) and _is_setter(node.value.func)
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
    return any(isinstance(each, ast.Attribute | ast.Subscript) for each in targets)


def looked_up_names(node: ast.AST) -> set[str] | None:
    """Returns the names that a statement looks up in ``globals()``; ``None`` where they are not written in it."""
    found, calls = set[str](), 0
    for each in ast.walk(node):
        calls += _is_globals(each)
        match each:
            case ast.Subscript(value=looked, slice=ast.Constant(value=str() as name)) if _is_globals(looked):
                found.add(name)
                calls -= 1
            case ast.Call(
                func=ast.Attribute(value=looked, attr="get"), args=[ast.Constant(value=str() as name), *_]
            ) if _is_globals(looked):
                found.add(name)
                calls -= 1
    return None if calls else found


def _is_globals(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "globals"


def is_conditional(node: ast.stmt) -> bool:
    """Whether a statement may leave a name as it was, although it can bind it."""
    return isinstance(
        node, ast.If | ast.For | ast.AsyncFor | ast.While | ast.Try | ast.TryStar | ast.With | ast.AsyncWith | ast.Match
    )


def is_dotted_import(node: ast.stmt) -> bool:
    """Whether a statement binds a package and loads a module of it: others may load more of its modules."""
    return isinstance(node, ast.Import) and any("." in alias.name and alias.asname is None for alias in node.names)


def read_at_once(node: ast.stmt) -> set[str]:
    """Returns the names that a statement reads when it runs itself."""
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        outer = [*node.decorator_list, *(node.bases if isinstance(node, ast.ClassDef) else node.args.defaults)]
        return {each.id for part in outer for each in ast.walk(part) if isinstance(each, ast.Name)}
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)}


def own_scope(node: ast.AST) -> Iterator[ast.AST]:
    """Yields the nodes of a statement that run in its own scope."""
    waiting = [node]
    while waiting:
        each = waiting.pop()
        yield each
        if isinstance(each, _SCOPES) and each is not node:
            continue
        if isinstance(each, _SCOPES):
            continue
        if isinstance(each, _COMPREHENSIONS):
            # Its variables are its own; ``:=`` in it binds outside.
            waiting += [inner for inner in ast.walk(each) if isinstance(inner, ast.NamedExpr)]
            continue
        waiting += ast.iter_child_nodes(each)


def _bound_by(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Import(names=aliases):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in aliases)
        case ast.ImportFrom(names=aliases):
            yield from (alias.asname or alias.name for alias in aliases)
        case ast.Name(id=name, ctx=ast.Store()):
            yield name
        case ast.MatchAs(name=str() as name) | ast.MatchStar(name=str() as name):
            yield name
        case ast.MatchMapping(rest=str() as name):
            yield name


def _read_by(code: CodeType) -> Iterator[str]:
    own: set[str] = set()
    is_class_or_module = "__qualname__" in code.co_names or code.co_name == "<module>"
    for instruction in dis.get_instructions(code):
        name = instruction.argval
        if instruction.opname == "STORE_NAME" and is_class_or_module and code.co_name != "<module>":
            # In the body of a class: read later, it is the class's own.
            own.add(name)
        elif instruction.opname in _READS and name not in own:
            yield name
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _read_by(constant)


def _names_of_hint(hint: ast.AST) -> set[str]:
    found = set()
    for each in ast.walk(hint):
        if isinstance(each, ast.Name):
            found.add(each.id)
        elif isinstance(each, ast.Constant) and isinstance(each.value, str):
            try:
                found |= {
                    inner.id for inner in ast.walk(ast.parse(each.value, mode="eval")) if isinstance(inner, ast.Name)
                }
            except (SyntaxError, ValueError, RecursionError):
                continue
    return found


def root_name(target: ast.expr) -> str:
    """Returns the name that a chain of attributes, items and calls begins with; empty where it begins otherwise."""
    while isinstance(target, ast.Attribute | ast.Subscript | ast.Call):
        target = target.func if isinstance(target, ast.Call) else target.value
    return target.id if isinstance(target, ast.Name) else ""


def _is_setter(function: ast.expr) -> bool:
    return isinstance(function, ast.Name) and function.id in ("setattr", "delattr")
