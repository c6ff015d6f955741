"""Makes the code bundle of a function."""

from __future__ import annotations

import ast
import io
import os
import tokenize
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestrator.bundling.callables import Definition, find_definition
from orchestrator.bundling.nested import hoist
from orchestrator.bundling.own_modules import OwnModules, is_own, module_name, root_of
from orchestrator.bundling.selection import Selection
from orchestrator.bundling.sources import Source, Statement, sources_of
from orchestrator.common.errors import BadInput
from tasks.code_bundle import BadBundle, CodeBundle, make_bundle
from tasks.code_path import REMEDY, name_conflict
from tasks.import_statements import read_file

_CELLS = "notebook_cells"


@dataclass(frozen=True)
class _Module:
    """The objective's module in the bundle."""

    name: str
    package: str
    is_package: bool
    roots: tuple[str, ...]


def bundle_of_function(function: Callable[..., Any]) -> CodeBundle:
    """Returns the code that a function needs, as files that can be sent.

    A function of an imported module, or of a script with a main guard, brings the whole file; one of a notebook's
    cells, or of a script without a main guard, brings the statements that it needs. Both bring the modules of the
    user's own that their import statements lead to. Nothing is run for it, and nothing is pickled.

    Args:
        function: The objective: a function that takes an Optuna trial.

    Raises:
        BadInput: it cannot be carried as source; the message says what to do.
    """
    definition = find_definition(function)
    where = definition.where
    file = definition.namespace.get("__file__")
    if definition.module != "__main__" and isinstance(file, str) and not is_own(os.path.abspath(file)):
        # It is found by its name wherever its package is installed.
        return make_bundle(f"{definition.module}:{definition.name}", [])
    sources = sources_of(definition.module, definition.namespace)
    if not sources:
        # Of an archive, or of a folder that is gone.
        problem = (
            f"has no source: {file:.200} cannot be read" if isinstance(file, str) else "has no source that is kept"
        )
        raise BadInput(where, problem, "write it into a file of its own, or into a notebook's cell")
    selection = Selection(where, definition.namespace, sources)
    added: list[str] = []
    if definition.nested is not None:
        added = hoist(definition.nested, where, sources, selection)
    else:
        first = definition.name.partition(".")[0]
        if not selection.binds(first):
            raise BadInput(where, "was made by exec or eval, and has no source", "write it into a file or a cell")
        selection.add(first)
    selection.check_literals()
    module = _module_of(definition, sources)
    if problem := name_conflict(module.name, module.roots):
        raise BadInput(where, problem, REMEDY)
    own = OwnModules(where, module.roots)
    text, tree = _module_text(definition, sources, selection, added)
    own.put(module.name, text, is_package=module.is_package)
    own.follow(tree, module.package)
    parents = module.name.split(".")
    own.add(".".join(parents[:depth]) for depth in range(1, len(parents)))
    try:
        return make_bundle(f"{module.name}:{definition.name}", own.files.items())
    except BadBundle as error:
        raise BadInput(where, f"cannot be carried: {error}") from None


def _module_of(definition: Definition, sources: list[Source]) -> _Module:
    file = sources[0].file
    name, namespace = definition.module, definition.namespace
    if name == "__main__":
        spec = namespace.get("__spec__")
        # Started by `python -m package.module`, or by `python FOLDER`, whose module has no other name.
        name = (getattr(spec, "name", None) or "").removeprefix("__main__")
    elif not _is_imported(name):
        name = ""
    is_package = os.path.basename(file) == "__init__.py"
    if name:
        package = name if is_package else name.rpartition(".")[0]
        return _Module(name, package, is_package, (root_of(name, file) if file else os.getcwd(),))
    roots = (os.path.dirname(os.path.abspath(file)) if file else os.getcwd(),)
    stem = os.path.splitext(os.path.basename(file))[0] if file else _CELLS
    return _Module(module_name(stem, roots), "", False, roots)


def _is_imported(module: str) -> bool:
    """Whether a module was imported, and not run; ``runpy.run_path`` gives it a name that none can have."""
    return module != "__main__" and all(part.isidentifier() for part in module.split("."))


def _module_text(
    definition: Definition, sources: list[Source], selection: Selection, added: list[str]
) -> tuple[bytes, ast.AST]:
    """Returns the source of the objective's module, and the tree whose imports are to be followed."""
    file = sources[0].file
    whole = bool(file) and (_is_imported(definition.module) or selection.has_guard)
    if whole and not added and (raw := read_file(file)) is not None:
        return raw, sources[0].tree
    text = sources[0].text if whole else _chosen_text(sources, selection)
    text = "\n".join([text.rstrip("\n"), *(f"\n\n{each}" for each in added)]).lstrip("\n" if not file else "") + "\n"
    # A whole file still says which encoding it has.
    encoding, _ = tokenize.detect_encoding(io.BytesIO(text.encode()).readline) if file else ("utf-8", [])
    return text.encode(encoding), ast.parse(text)


def _chosen_text(sources: list[Source], selection: Selection) -> str:
    chosen = selection.statements
    if sources[0].file:
        return _with_blank_lines(sources[0], chosen, selection.imports)
    # One that ran in any cell counts for the cells after it.
    futures = (node for source in sources for node in source.tree.body if _is_future(node))
    parts = [*dict.fromkeys(map(ast.unparse, futures)), *selection.imports]
    for each in chosen:
        if not _is_future(each.node):
            parts.append(f"\n# {each.place}\n{_text_of(each)}")
    return "\n".join(parts)


def _with_blank_lines(source: Source, chosen: list[Statement], imports: list[str]) -> str:
    """Returns the chosen statements of a file on their lines, so that tracebacks name the lines of the file."""
    every = source.text.split("\n")
    lines = [""] * len(every)
    futures = [Statement(node, source, -1) for node in source.tree.body if _is_future(node)]
    for each in (*futures, *chosen):
        if _has_lines_alone(each):
            lines[each.first - 1 : each.last] = every[each.first - 1 : each.last]
        else:
            text = _text_of(each)
            before = lines[each.first - 1]
            lines[each.first - 1] = f"{before}; {text}" if before and text not in before else text
    return "\n".join([*lines, *imports])


def _has_lines_alone(statement: Statement) -> bool:
    """Whether no other statement begins or ends on the lines of this one."""
    return not any(
        other is not statement.node and other.lineno <= statement.last and (other.end_lineno or 0) >= statement.first
        for other in statement.source.tree.body
    )


def _text_of(statement: Statement) -> str:
    text = statement.source.text
    if _has_lines_alone(statement):
        return "\n".join(text.split("\n")[statement.first - 1 : statement.last])
    return ast.get_source_segment(text, statement.node) or ast.unparse(statement.node)


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"
