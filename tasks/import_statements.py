"""The modules that the import statements of a source lead to, read without running it."""

from __future__ import annotations

import ast
import os
import sys
import warnings
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder


def parse_source(source: str | bytes, name: str = "<unknown>") -> ast.Module | None:
    """Returns the syntax tree of a source; ``None`` where it cannot be parsed."""
    try:
        with warnings.catch_warnings():
            # The import has given these warnings already.
            warnings.simplefilter("ignore")
            return ast.parse(source, name)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def imported_modules(tree: ast.AST, package: str) -> Iterator[str]:
    """Yields the possible module names of all import statements, those inside functions too.

    Args:
        tree: The source.
        package: The package that relative imports begin at.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = absolute_name(package, node.level, node.module or "")
            if base:
                yield from _with_parents(base)
                yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")
        elif isinstance(node, ast.Call):
            yield from _with_parents(_imported_by_call(node))


def _imported_by_call(node: ast.Call) -> str:
    """Returns the module that ``import_module`` or ``__import__`` is given as a constant; empty for any other call."""
    match node:
        case ast.Call(
            func=ast.Name("import_module" | "__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(str() as name), *_],
        ) if not name.startswith("."):
            return name
    return ""


def package_of(module: str, path: str) -> str:
    """Returns the package that relative imports in a module begin at."""
    return module if os.path.basename(path) == "__init__.py" else module.rpartition(".")[0]


def absolute_name(package: str, level: int, name: str) -> str:
    """Returns the module that ``from ..name import`` names; ``level`` is the number of dots."""
    if level == 0:
        return name
    parts = package.split(".")
    kept = parts[: len(parts) - level + 1]
    return ".".join([*kept, name] if name else kept)


def file_of(module: str) -> str | None:
    """Returns the file of a module, imported or not; ``None`` where there is none."""
    loaded = sys.modules.get(module)
    if loaded is not None:
        path = getattr(loaded, "__file__", None)
        return path if isinstance(path, str) else None
    spec = find_module(module)
    return spec.origin if spec is not None and spec.has_location else None


def find_module(module: str) -> ModuleSpec | None:
    """Finds a module without importing it or its parents."""
    parent, dot, last = module.rpartition(".")
    folders = None
    if dot:
        loaded = sys.modules.get(parent)
        above = None if loaded is not None else find_module(parent)
        folders = list(getattr(loaded, "__path__", ())) if above is None else above.submodule_search_locations
        if not folders:
            return None
    try:
        return PathFinder.find_spec(last, folders)
    except (ImportError, ValueError, AttributeError):
        return None


def read_file(path: str) -> bytes | None:
    """Returns the bytes of a file; ``None`` where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".") if name else []
    return (".".join(parts[: depth + 1]) for depth in range(len(parts)))
