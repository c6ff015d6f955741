"""What the pages of the documentation mark with ``run``, run as a reader would: in an empty folder, in order."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fleet import PATIENCE, ROOT

from tests.pages import PAGES, Block, blocks

RUNNING = [page for page in PAGES if any(block.runs for block in blocks(page))]


@pytest.mark.parametrize("page", RUNNING, ids=lambda page: page.name)
def test_the_page_works_as_it_stands(page: Path, tmp_path: Path) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()
    environment = reader(tmp_path)
    for block in blocks(page):
        if block.file:
            (folder / block.file).write_text(block.text)
        if block.runs:
            done = subprocess.run(
                program(block),
                input=block.text,
                env=environment,
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=2 * PATIENCE,
                check=False,
            )
            assert done.returncode == 0, f"{block.where}\n{done.stdout}\n{done.stderr}"


def program(block: Block) -> list[str]:
    return [sys.executable, "-W", "error", "-"] if block.language == "python" else ["sh", "-eu"]


def reader(tmp_path: Path) -> dict[str, str]:
    """Returns the environment of somebody who has set nothing, and has ``orchestrator`` on the path."""
    script = tmp_path / "bin" / "orchestrator"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m orchestrator "$@"\n')
    script.chmod(0o755)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("ORCHESTRATOR_")}
    # The code beside the tests is what runs, wherever else it is installed.
    return clean | {"PATH": f"{script.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
