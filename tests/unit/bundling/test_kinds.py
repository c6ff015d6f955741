"""Each kind of function is carried, and then gives the value that it gives at home; or is refused in one line."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.bundling import bundle_of_function
from tests.unit.bundling.kinds import Kind
from tests.unit.bundling.kinds_by_way import WAYS_CARRIED, WAYS_REFUSED
from tests.unit.bundling.kinds_carried import CARRIED
from tests.unit.bundling.kinds_of_cells import CELLS_CARRIED, CELLS_REFUSED
from tests.unit.bundling.kinds_refused import REFUSED
from tests.unit.bundling.kinds_registered import CHANGED, REGISTERED, UNREGISTERED

ALL_CARRIED = [*CARRIED, *WAYS_CARRIED, *CELLS_CARRIED, *REGISTERED, *CHANGED]
ALL_REFUSED = [*REFUSED, *WAYS_REFUSED, *CELLS_REFUSED, *UNREGISTERED]
SERVER = Path(__file__).parent / "bundle_server.py"
Results = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What came of each kind: all at once, for imports are most of what one takes."""
    folder = tmp_path_factory.mktemp("kinds")
    kinds = [*ALL_CARRIED, *ALL_REFUSED]
    cases = json.dumps([kind.as_case(str(folder)) for kind in kinds])
    command = [sys.executable, "-P", str(SERVER)]
    done = subprocess.run(command, input=cases, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return {kind.name: result for kind, result in zip(kinds, json.loads(done.stdout), strict=True)}


@pytest.mark.parametrize("kind", ALL_CARRIED, ids=lambda kind: kind.name)
def test_it_gives_the_same_value_from_its_bundle(results: Results, kind: Kind) -> None:
    result = results[kind.name]
    assert "value" in result, result.get("refused") or result.get("error")
    carried = result["carried"]
    assert carried == {"value": result["value"]}, carried.get("error", "")
    assert result["value"] is not None
    files = result["files"]
    assert set(kind.has) <= files.keys()
    assert not set(kind.lacks) & files.keys()
    assert not kind.without or not [name for name, text in files.items() if kind.without in text]


@pytest.mark.parametrize("kind", ALL_REFUSED, ids=lambda kind: kind.name)
def test_it_is_refused_in_one_line_that_says_what_to_do(results: Results, kind: Kind) -> None:
    result = results[kind.name]
    assert "refused" in result, result
    assert kind.refused in result["refused"]
    assert "\n" not in result["refused"]
    assert result["refused"].startswith("objective '")
    assert "; " in result["refused"]


def test_a_nested_function_keeps_the_encoding_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """# -*- coding: latin-1 -*-
NAME = "\u00e9"
def make():
    def objective(trial): return [ord(each) for each in NAME]
    return objective
"""
    (tmp_path / "in_latin_1.py").write_bytes(text.encode("latin-1"))
    monkeypatch.syspath_prepend(tmp_path)
    bundle = bundle_of_function(importlib.import_module("in_latin_1").make())
    monkeypatch.delitem(sys.modules, "in_latin_1")
    (file,) = bundle.files
    namespace: dict[str, Any] = {}
    exec(compile(file.data, file.path, "exec"), namespace)
    assert namespace["objective"](None) == [0xE9]


def test_the_names_of_kinds_differ() -> None:
    names = [kind.name for kind in (*ALL_CARRIED, *ALL_REFUSED)]
    assert len(set(names)) == len(names)
