"""The layout of the code: short files, no circles of imports, names that can be told apart.

``lint-imports`` holds the layers; what it cannot say is checked here.
"""

from __future__ import annotations

import ast
import graphlib
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = ("orchestrator", "tasks")
LONGEST_FILE = 400


def modules(root: Path) -> dict[str, Path]:
    """Returns the file of each module of the product, by the module's dotted name."""
    found = {}
    for path in sorted(file for package in PACKAGES for file in (root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Returns the modules in ``known`` that ``path`` names in an import, also in one for types or inside a function."""
    result = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            result |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            result |= {name if name in known else str(node.module) for name in inner}
    return result & known.keys()


def circle(root: Path) -> list[str]:
    """Returns the modules of a circle of imports, an empty list where there is none."""
    known = modules(root)
    try:
        graphlib.TopologicalSorter({name: imports(path, known) for name, path in known.items()}).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def lookalikes(root: Path) -> list[str]:
    """Returns the modules and packages beside which another one has the same name without its final "s"."""
    names = set(modules(root))
    return [name for name in sorted(names) if name.endswith("s") and name[:-1] in names]


def write(root: Path, **texts: str) -> Path:
    """Writes a package ``orchestrator`` of modules with these texts below ``root``."""
    folder = root / "orchestrator"
    folder.mkdir()
    for name, text in {"__init__": "", **texts}.items():
        (folder / f"{name}.py").write_text(text)
    return root


def test_at_the_top_of_the_package_are_only_init_and_main() -> None:
    top = {path.name for path in (ROOT / "orchestrator").glob("*.py")}
    assert top == {"__init__.py", "__main__.py"}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_has_more_than_400_lines(package: str) -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in (ROOT / package).rglob("*.py")}
    assert lengths, "the package has files"
    assert {str(path): length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circle(ROOT) == []


def test_no_two_modules_of_a_folder_differ_by_an_s() -> None:
    assert lookalikes(ROOT) == []


def test_no_two_files_of_tests_have_the_same_name() -> None:
    """pytest imports files outside of packages by their names alone."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py") if not (path.parent / "__init__.py").exists())
    del names["conftest.py"]
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize(
    "text",
    [
        "if True:\n    import orchestrator.a",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import orchestrator.a",
        "def later():\n    import orchestrator.a",
    ],
)
def test_a_circle_of_imports_is_found(tmp_path: Path, text: str) -> None:
    write(tmp_path, a="from orchestrator.b import B", b=text + "\nB = 1")
    assert set(circle(tmp_path)) == {"orchestrator.a", "orchestrator.b"}


def test_two_modules_that_differ_by_an_s_are_found(tmp_path: Path) -> None:
    write(tmp_path, slot="", slots="", lots="")
    assert lookalikes(tmp_path) == ["orchestrator.slots"]
