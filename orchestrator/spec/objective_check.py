"""Checks that the objective exists, from its source, without running it: an import may take seconds, claim a GPU or
print. The training process is the one that imports it."""

from __future__ import annotations

import ast
import contextlib
import difflib
import importlib
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from orchestrator.bundling.sources import is_main_test
from orchestrator.common.errors import BadInput
from orchestrator.common.faults import Fault, got, show
from orchestrator.common.field_types import split_reference
from tasks.code_path import REMEDY, name_conflict
from tasks.objective_path import code_folders
from tasks.program.process import ProgramMissing, find_program

_CANNOT_TELL = frozenset({"globals", "vars", "exec", "setattr", "locals"})
"""Calls at the top level that may bind any name."""

_NO_CALLABLE: dict[type[ast.expr], str] = {
    ast.List: "a list",
    ast.ListComp: "a list",
    ast.Tuple: "a tuple",
    ast.Dict: "a dict",
    ast.DictComp: "a dict",
    ast.Set: "a set",
    ast.SetComp: "a set",
    ast.GeneratorExp: "a generator",
    ast.JoinedStr: "a string",
}


def check_program(name: str) -> None:
    """Checks that the program of a command is found here.

    Raises:
        BadInput: it is not.
    """
    try:
        find_program(name, os.environ)
    except ProgramMissing as error:
        remedy = "install it, or give its path; a worker looks beside its own Python and then on its PATH"
        if os.path.isfile(name):
            remedy = f'or name what runs it before it, as in ["bash", "{name}"]'
        raise BadInput("command.run", str(error), remedy) from None


def check_objective(reference: str, search_path: Sequence[Path] = ()) -> None:
    """Checks that ``module:function`` leads to something that can be called with a trial.

    An objective that only running the module could find (a star import, a compiled module, a computed value) passes.

    Args:
        reference: As in the spec.
        search_path: Folders to look in before the working directory and Python's own path.

    Raises:
        BadInput: there is no such module or function, its source is broken, or it is no function.
    """
    where = f"objective {show(reference, 120)}"
    try:
        module, function = split_reference(reference)
    except Fault as fault:
        raise fault.blame(where) from None
    here = [*search_path, *code_folders("")]
    if problem := name_conflict(module, here):
        raise BadInput(where, problem, REMEDY)
    name = function.partition(".")[0]
    file = _find(module, search_path, where)
    if file is None:
        return
    names = _read(file, where)
    uses = names.bound.get(name)
    if uses is None:
        if names.open:
            return
        if name in names.main_only:
            problem = f"'{name}' is defined only under if __name__ == '__main__' in {file}"
            raise BadInput(where, problem, "move it to the top level")
        remedy = _nearest(name, names.functions()) or "it defines no function"
        raise BadInput(where, f"{file} defines no '{name}'", remedy)
    # Whichever of several definitions wins at run time: one that may be right is enough.
    if "." not in function and all(uses):
        raise BadInput(where, f"{file}: '{name}' {uses[-1]}", "it must be a function taking an Optuna trial")


@dataclass
class _Names:
    """The names that a module binds at its top level; for each binding why it is no objective, or ''."""

    bound: dict[str, list[str]] = field(default_factory=dict)
    main_only: set[str] = field(default_factory=set)
    open: bool = False
    """Names may come from somewhere that the source does not show."""

    def bind(self, name: str, objection: str = "") -> None:
        self.bound.setdefault(name, []).append(objection)

    def functions(self) -> list[str]:
        return [name for name, uses in self.bound.items() if not all(uses)]


def _find(module: str, search_path: Sequence[Path], where: str) -> Path | None:
    """Returns the module's source file, or None where there is none to read.

    ``importlib.util.find_spec`` would import the parents; this walks down the packages' folders instead.
    """
    importlib.invalidate_caches()
    here = [str(folder) for folder in search_path]
    # Where the working directory was deleted, the rest of the path may do.
    with contextlib.suppress(OSError):
        here.append(str(Path.cwd()))
    folders: list[str] | None = None
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        name = ".".join(parts[:depth])
        spec = _ask_finders(name, folders, here)
        if spec is None:
            raise BadInput(where, f"there is no module '{name}'", _module_remedy(name, folders, here))
        source = _source(spec)
        package = spec.submodule_search_locations
        if depth == len(parts):
            if package is not None and spec.origin is None:
                remedy = f"name a module in it: '{name}.MODULE:…'"
                raise BadInput(where, f"'{name}' is a folder without an __init__.py", remedy)
            return source
        if (source is None and package is None) or (source is not None and _builds_its_path(source)):
            return None
        if package is None:
            raise BadInput(where, f"there is no module '{module}'", f"'{name}' is a module, not a package")
        folders = list(package)
    return None


def _ask_finders(name: str, folders: list[str] | None, here: list[str]) -> ModuleSpec | None:
    for finder in sys.meta_path:
        # A foreign import hook may raise; the import itself will show.
        with contextlib.suppress(Exception):
            if finder is PathFinder:
                # A file is looked up by the last part anyway, and by it alone a namespace package in another
                # does not ask for its parent in sys.modules.
                path = [*here, *sys.path] if folders is None else folders
                spec = PathFinder.find_spec(name.rpartition(".")[2], path)
            else:
                spec = finder.find_spec(name, folders)
            if spec is not None:
                return spec
    return None


def _source(spec: ModuleSpec) -> Path | None:
    if spec.origin is None or not spec.origin.endswith(".py"):
        return None
    file = Path(spec.origin)
    # Inside a zip archive there is no such file.
    return file if file.is_file() else None


def _builds_its_path(source: Path) -> bool:
    """Whether a package, or a module that acts as one, sets its own search path."""
    try:
        text = source.read_bytes()
    except OSError:
        return True
    return b"__path__" in text or b"sys.modules" in text


def _module_remedy(name: str, folders: list[str] | None, here: list[str]) -> str:
    parent, dot, part = name.rpartition(".")
    beside = sorted(set(_modules(here if folders is None else folders)))
    close = _nearest(part, [parent + dot + each for each in beside], beside)
    if folders is None and not close.startswith("did"):
        return f"put {part[:100]}.py into {here[-1] if here else 'the path'}, or install it"
    return close or f"'{parent}' has no modules"


def _nearest(name: str, known: Sequence[str], keys: Sequence[str] = ()) -> str:
    """Returns ``did you mean``, or some of the known names; ``keys`` are compared in their place."""
    by_key = dict(zip(keys or known, known, strict=True))
    close = difflib.get_close_matches(name[:100], by_key, n=1)
    if close:
        return f"did you mean '{by_key[close[0]]}'?"
    return "known: " + ", ".join(known[:10]) + (", …" if len(known) > 10 else "") if known else ""


def _modules(folders: Iterable[str]) -> Iterator[str]:
    for folder in folders:
        with contextlib.suppress(OSError):
            for entry in Path(folder).iterdir():
                name = entry.stem if entry.suffix == ".py" else entry.name
                if name.isidentifier() and not name.startswith("__") and (entry.suffix == ".py" or entry.is_dir()):
                    yield name


def _read(file: Path, where: str) -> _Names:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise BadInput(where, f"{file} cannot be read: {error.strerror}") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(raw, str(file))
    except SyntaxError as error:
        place = f"{file}:{error.lineno}" if error.lineno else str(file)
        raise BadInput(where, f"syntax error in {place}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise BadInput(where, f"{file} is no Python source: {str(error) or 'nested too deeply'}") from None
    # A module that puts something else in its place has names of its own.
    names = _Names(open=b"sys.modules" in raw)
    try:
        _collect(tree.body, names)
    except RecursionError:
        # A thousand elifs are odd, but no fault.
        names.open = True
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            # Some function may bind it when it is called.
            for name in node.names:
                names.bind(name)
    return names


def _collect(nodes: Iterable[ast.AST], names: _Names) -> None:
    """Collects what these nodes bind, blocks of if, try, for, with and match included: any of them may run."""
    for node in nodes:
        inside: Iterable[ast.AST] = ast.iter_child_nodes(node)
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                names.bind(node.name, _objection(node))
                names.open |= node.name == "__getattr__"
                inside = ()
            case ast.ClassDef():
                names.bind(node.name)
                inside = ()
            case ast.Import():
                for alias in node.names:
                    names.bind(alias.asname or alias.name.partition(".")[0], "is a module")
            case ast.ImportFrom():
                for alias in node.names:
                    names.open |= alias.name == "*"
                    names.bind(alias.asname or alias.name)
            case ast.Assign(targets=targets, value=value):
                plain = [target for target in targets if isinstance(target, ast.Name)]
                for target in plain:
                    names.bind(target.id, _kind(value))
                inside = [each for each in (*targets, value) if each not in plain]
            case ast.AnnAssign(target=ast.Name(name), value=value):
                if value is not None:
                    names.bind(name, _kind(value))
                inside = () if value is None else (value,)
            case ast.If(test=test) if is_main_test(test):
                main = _Names()
                _collect(node.body, main)
                names.main_only |= main.bound.keys()
                inside = node.orelse
            case ast.If(test=ast.Name("TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                inside = node.orelse
            case ast.comprehension():
                # Its variables are its own.
                inside = (node.iter, *node.ifs)
            case ast.Name(name, ctx=ast.Store()):
                names.bind(name)
            case ast.Call(func=ast.Name(name)) if name in _CANNOT_TELL:
                names.open = True
        _collect(inside, names)


def _kind(value: ast.expr | None) -> str:
    """Returns why an assigned value cannot be an objective; empty if it may be one."""
    if isinstance(value, ast.UnaryOp):
        value = value.operand
    if isinstance(value, ast.Constant):
        return "is None" if value.value is None else got(value.value)
    kind = None if value is None else _NO_CALLABLE.get(type(value))
    return f"is {kind}" if kind else ""


def _objection(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Returns why a function cannot be an objective; empty if it may be one, as with any decorator."""
    if function.decorator_list:
        return ""
    if isinstance(function, ast.AsyncFunctionDef):
        return "is an async function, which only returns a coroutine when called"
    if any(isinstance(node, ast.Yield | ast.YieldFrom) for node in _own_nodes(function)):
        return "is a generator, which does nothing when called"
    arguments = function.args
    if not (arguments.posonlyargs or arguments.args or arguments.vararg):
        return "takes no trial"
    return ""


def _own_nodes(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """Yields the nodes of a function's body without those of functions and classes inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))
