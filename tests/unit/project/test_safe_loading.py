"""torch reads files by pickle unless it is told that they hold data alone; here it always is."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_whatever_torch_loads_is_data_alone() -> None:
    calls = []
    for file in [*(ROOT / "tasks").rglob("*.py"), *(ROOT / "orchestrator").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                calls.append((file.name, {word.arg: ast.unparse(word.value) for word in node.keywords}))
    assert calls
    assert [(file, words) for file, words in calls if words.get("weights_only") != "True"] == []
