"""``python bundle_server.py``: bundles the objective of each case and runs it from its bundle, each in its own fork.

Reads a list of cases as JSON, and writes the list of results. The fork that bundles runs the script as ``__main__``;
the fork that runs the bundle knows nothing but its files.
"""

from __future__ import annotations

import doctest
import importlib
import json
import linecache
import os
import runpy
import shutil
import sys
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import orchestrator.bundling
from orchestrator.common.errors import BadInput
from tasks.code_bundle import unpack


class Trial:
    """Answers as a trial does whose every float is its lower bound."""

    def suggest_float(self, name: str, low: float, high: float) -> float:
        del name, high
        return low


def bundled(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Runs the case's script, or its cells, in ``folder``; returns the bundle and the objective's value there."""
    for name, text in case["files"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    os.chdir(folder)
    sys.path.insert(0, str(folder) if not case["cells"] else "")
    sys.argv = ["script.py"]
    try:
        names = run_cells(case["cells"]) if case["cells"] else WAYS[case["way"]](folder / "script.py")
    except BadInput as error:
        return {"refused": str(error)}
    bundle = names["bundle"]
    (folder.parent / f"{folder.name}.bundle").write_bytes(bundle.pack())
    value = names["objective"](Trial(), **case["args"]) if "objective" in names else None
    return {
        "digest": bundle.digest,
        "reference": bundle.objective,
        "value": value,
        "files": {file.path: file.data.decode() for file in bundle.files},
    }


def run_script(path: Path) -> dict[str, Any]:
    """Runs a file as ``python FILE`` does."""
    return run_text(path.read_bytes(), str(path), __file__=str(path))


def run_text(text: str | bytes, title: str, **names: Any) -> dict[str, Any]:
    """Runs a text as ``__main__``."""
    module = sys.modules["__main__"] = ModuleType("__main__")
    vars(module).update(names)
    exec(compile(text, title, "exec", dont_inherit=True), vars(module))
    return vars(module)


def run_command(path: Path) -> dict[str, Any]:
    """Runs a script as ``python -c TEXT`` does."""
    sys.orig_argv = [sys.executable, "-W", "error", "-c", path.read_text()]
    path.unlink()
    return run_text(sys.orig_argv[-1], "<string>")


def run_input(path: Path) -> dict[str, Any]:
    """Runs a script as ``python < FILE`` does."""
    text = path.read_text()
    path.unlink()
    return run_text(text, "<stdin>")


def run_package(path: Path) -> dict[str, Any]:
    """Runs a script as ``python -m pack`` does, whose ``__main__`` it is."""
    path.rename(path.parent / "pack" / "__main__.py")
    return runpy.run_module("pack", run_name="__main__", alter_sys=True)


def run_folder(path: Path) -> dict[str, Any]:
    """Runs a script as ``python FOLDER`` does, whose ``__main__`` it is."""
    path.rename(path.parent / "__main__.py")
    return runpy.run_path(str(path.parent), run_name="__main__")


def run_archive(path: Path) -> dict[str, Any]:
    """Runs a script from a zip archive, whose ``__main__`` it is."""
    archive = path.parent / "app.pyz"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(path, "__main__.py")
    path.unlink()
    return runpy.run_path(str(archive), run_name="__main__")


def run_doctest(path: Path) -> dict[str, Any]:
    """Runs a script as an example of a docstring."""
    lines = path.read_text().strip().splitlines()
    names: dict[str, Any] = {"__name__": "__main__"}
    example = "".join(f"{'...' if line[:1] in (' ', ')') else '>>>'} {line}\n" for line in lines if line)
    found = doctest.DocTestParser().get_doctest(example, names, "docs", "docs.py", 0)
    runner = doctest.DebugRunner(verbose=False)
    try:
        runner.run(found, clear_globs=False)
    except doctest.UnexpectedException as error:
        raise error.exc_info[1] from None
    return found.globs


WAYS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "file": run_script,
    "-c": run_command,
    "-m": run_package,
    "run_path": lambda path: runpy.run_path(str(path)),
    "folder": run_folder,
    "zip": run_archive,
    "doctest": run_doctest,
    "stdin": run_input,
}


def run_cells(cells: list[str]) -> dict[str, Any]:
    """Runs cells in IPython; a cell that raises stops nothing, unless it raises BadInput."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    for cell in cells:
        result = shell.run_cell(cell, store_history=True)
        if isinstance(result.error_in_exec, BadInput):
            raise result.error_in_exec
    return dict(shell.user_ns)


def run_bundle(result: dict[str, Any], folder: Path, args: dict[str, Any]) -> dict[str, Any]:
    """Runs the objective of a bundle in a process that has nothing of the user's."""
    code = folder.parent / f"{folder.name}.code"
    bundle = unpack((folder.parent / f"{folder.name}.bundle").read_bytes(), result["digest"])
    for file in bundle.files:
        path = code / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.data)
    shutil.rmtree(folder)
    linecache.clearcache()
    sys.path.insert(0, str(code))
    module, _, name = bundle.objective.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return {"value": found(Trial(), **args)}


def forked(function: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Returns what the function returns in a fork; its output goes nowhere."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        try:
            result = function()
        except BaseException:
            result = {"error": traceback.format_exc()}
        os.write(writer, json.dumps(result).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        data = file.read()
    os.waitpid(pid, 0)
    return dict(json.loads(data or '{"error": "the fork has ended"}'))


def main() -> None:
    results = []
    cases = json.load(sys.stdin)
    if any(case["cells"] for case in cases):
        import IPython.core.interactiveshell  # noqa: F401
    for number, case in enumerate(cases):
        folder = Path(case["folder"]) / f"case{number}" / "project"
        folder.mkdir(parents=True)
        result = forked(lambda case=case, folder=folder: bundled(case, folder))  # type: ignore[misc]
        if "digest" in result:
            result["carried"] = forked(
                lambda result=result, folder=folder, case=case: run_bundle(result, folder, case["args"])  # type: ignore[misc]
            )
        results.append(result)
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    assert orchestrator.bundling
    main()
