"""The source of a namespace: the file of a module, or the cells of a notebook in the order in which they ran."""

from __future__ import annotations

import ast
import linecache
import os
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any

from tasks.import_statements import parse_source, read_file

_CELL = re.compile(r"<(?:python-input-(?P<number>\d+)|string)>")
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_BODY_MAGICS = ("time", "capture", "prun")


@dataclass(frozen=True, eq=False)
class Source:
    """One text that ran in the namespace.

    Attributes:
        title: Names it in messages.
        text: The text; ``tree`` its statements.
        file: Path of a file on the disk; empty for a cell.
        now: The line that runs now, where the text has not run to its end.
        failed: The line at which an error has ended it, as far as that is kept.
    """

    title: str
    text: str
    tree: ast.Module
    file: str = ""
    now: int | None = None
    failed: int | None = None


@dataclass(frozen=True, eq=False)
class Statement:
    """A statement at the top level of a source; ``first`` and ``last`` are its lines, decorators included."""

    node: ast.stmt
    source: Source
    position: int
    first: int = field(init=False)
    last: int = field(init=False)

    def __post_init__(self) -> None:
        decorators = getattr(self.node, "decorator_list", [])
        object.__setattr__(self, "first", min([self.node.lineno, *(each.lineno for each in decorators)]))
        object.__setattr__(self, "last", self.node.end_lineno or self.node.lineno)

    @property
    def place(self) -> str:
        return f"line {self.node.lineno} of {self.source.title}"

    @property
    def is_running(self) -> bool:
        now = self.source.now
        return now is not None and self.first <= now <= self.last

    @property
    def has_run(self) -> bool:
        end = self.source.failed if self.source.now is None else self.source.now
        return end is None or self.last < end

    def is_definition_of(self, code: CodeType) -> bool:
        """Whether a function with this code was made by this very statement of a cell."""
        if code.co_firstlineno != self.first or not isinstance(self.node, ast.FunctionDef | ast.AsyncFunctionDef):
            return False
        return "".join(linecache.getlines(code.co_filename)).rstrip("\n") == self.source.text.rstrip("\n")

    @property
    def is_main_guard(self) -> bool:
        return isinstance(self.node, ast.If) and is_main_test(self.node.test)


def sources_of(module: str, namespace: dict[str, Any]) -> list[Source]:
    """Returns what ran in a namespace, in this order; nothing where no source is kept."""
    shell = _ipython(namespace)
    # `%run -i` leaves the name of its file behind.
    if shell is not None and (cells := list(_cells(shell, namespace))):
        return cells
    file = namespace.get("__file__")
    if isinstance(file, str) and file.endswith(".py") and (raw := read_file(file)) is not None:
        tree = parse_source(raw, file)
        return [] if tree is None else [Source(file, _decoded(raw), tree, file, _running_line(namespace, file))]
    return list(_inputs(namespace)) if shell is None and module == "__main__" else []


def statements_of(sources: list[Source]) -> list[Statement]:
    """Returns the statements of all sources, in order."""
    nodes = [(node, source) for source in sources for node in source.tree.body]
    return [Statement(node, source, position) for position, (node, source) in enumerate(nodes)]


@lru_cache(maxsize=16)
def compiled_functions(source: Source) -> list[CodeType]:
    """Returns what the functions at the top level of a source compile to; nothing where it does not compile."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole = compile(source.text, source.file, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return []
    return [each for each in whole.co_consts if isinstance(each, CodeType)]


def is_main_test(test: ast.expr) -> bool:
    """Whether an expression compares ``__name__`` with ``"__main__"``."""
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq)):
        return False
    sides = (test.left, *test.comparators)
    return {"__name__", "__main__"} == {
        side.id if isinstance(side, ast.Name) else getattr(side, "value", None) for side in sides
    }


def _decoded(raw: bytes) -> str:
    import io
    import tokenize

    encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
    # As the tokenizer counts lines: a form feed or U+2028 ends none.
    return io.TextIOWrapper(io.BytesIO(raw), encoding).read()


def _ipython(namespace: dict[str, Any]) -> Any:
    """Returns the shell of IPython that has this namespace; ``None`` where it is none of its."""
    get = namespace.get("get_ipython")
    if not callable(get) or "IPython" not in sys.modules:
        return None
    shell = get()
    return shell if getattr(shell, "user_ns", None) is namespace else None


def _cells(shell: Any, namespace: dict[str, Any]) -> Iterator[Source]:
    running = _running_frames(namespace)
    for number, text in enumerate(shell.history_manager.input_hist_parsed):
        code = _without_time_magic(_without_body_magic(text))
        tree = parse_source(code)
        yield from _run_files(tree)
        if text and tree is not None:
            now = None
            for frame in running:
                if "".join(linecache.getlines(frame.f_code.co_filename)).rstrip("\n") == text.rstrip("\n"):
                    now = frame.f_lineno
            latest = number == len(shell.history_manager.input_hist_parsed) - 1
            failed = _failed_line(shell, number) if code.count("\n") == text.count("\n") else None
            yield Source(f"cell {number}", code, tree, "", now if latest else None, failed)


def _failed_line(shell: Any, number: int) -> int | None:
    """Returns the line at which an error has ended a cell."""
    error = getattr(shell.history_manager, "exceptions", {}).get(number)
    if error is None:
        return None
    shown = _COLOUR.sub("", "\n".join(map(str, error["traceback"])))
    # A frame of the cell itself; that of a function in it goes on with the function's name.
    found = re.search(rf"^\s*Cell In\[{number}\], line (\d+)$", shown, re.MULTILINE)
    return None if found is None else int(found[1])


def _run_files(tree: ast.Module | None) -> Iterator[Source]:
    """Yields the files that a cell has run by the magic ``%run``, whose names are the notebook's."""
    for node in [] if tree is None else tree.body:
        match node:
            case ast.Expr(
                ast.Call(
                    func=ast.Attribute(attr="run_line_magic"),
                    args=[ast.Constant("run"), ast.Constant(str() as arguments)],
                )
            ):
                file = next((word for word in arguments.split() if word.endswith(".py")), "")
                raw = read_file(file) if file else None
                found = None if raw is None else parse_source(raw, file)
                if raw is not None and found is not None:
                    yield Source(file, _decoded(raw), found)


def _without_body_magic(text: str) -> str:
    """Returns the code of a cell below a magic such as ``%%time``, which runs it as it stands."""
    tree = parse_source(text)
    match tree.body if tree is not None else []:
        case [
            ast.Expr(
                ast.Call(
                    func=ast.Attribute(attr="run_cell_magic"),
                    args=[ast.Constant(str() as magic), ast.Constant(), ast.Constant(str() as body)],
                )
            )
        ] if magic in _BODY_MAGICS:
            return body
    return text


def _without_time_magic(text: str) -> str:
    """Returns the code of a cell with what the magic ``%time`` runs in its place."""
    if "'time'" not in text:
        return text
    tree, lines = parse_source(text), text.split("\n")
    for node in [] if tree is None else tree.body:
        match node:
            case ast.Expr(
                ast.Call(
                    func=ast.Attribute(attr="run_line_magic"),
                    args=[ast.Constant("time"), ast.Constant(str() as code)],
                )
            ) if lines[node.lineno - 1].strip() == ast.get_source_segment(text, node):
                lines[node.lineno - 1] = code
    return "\n".join(lines)


def _inputs(namespace: dict[str, Any]) -> Iterator[Source]:
    """Yields what was typed at Python's prompt, or stood behind ``-c``, where this Python keeps it."""
    names = sorted((name for name in linecache.cache if _CELL.fullmatch(name)), key=_number)
    for name in names:
        text = "".join(linecache.getlines(name))
        if text and (tree := parse_source(text, name)) is not None:
            yield Source(f"input '{name}'", text, tree, "", _running_line(namespace, name))
    if not names and (text := _of_command_line()) and (tree := parse_source(text, "<string>")) is not None:
        yield Source("the text behind -c", text, tree, "", _running_line(namespace, "<string>"))


def _of_command_line() -> str:
    """Returns the program that stands behind ``-c``, which Python keeps in no file; empty where there is none."""
    words = iter(sys.orig_argv[1:])
    for word in words:
        if re.fullmatch(r"-[a-zA-Z]*c", word):
            return next(words, "")
        if not word.startswith("-"):
            break
        if word in ("-X", "-W", "--check-hash-based-pycs"):
            next(words, "")
    return ""


def _number(name: str) -> int:
    found = _CELL.fullmatch(name)
    return int(found["number"] or 0) if found else 0


def _running_line(namespace: dict[str, Any], file: str) -> int | None:
    path = os.path.abspath(file)
    lines = [
        frame.f_lineno for frame in _running_frames(namespace) if os.path.abspath(frame.f_code.co_filename) == path
    ]
    return lines[0] if lines else None


def _running_frames(namespace: dict[str, Any]) -> list[FrameType]:
    """Returns the frames that run the namespace's own statements now, in any thread."""
    found = []
    for top in sys._current_frames().values():
        frame: FrameType | None = top
        while frame is not None:
            name = frame.f_code.co_name
            if frame.f_globals is namespace and (name == "<module>" or name.startswith("<cell line")):
                found.append(frame)
            frame = frame.f_back
    return found
