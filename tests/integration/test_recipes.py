"""What the pages of the documentation mark with ``run``, run by a reader who has all their files, in their order."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fleet import PATIENCE, ROOT

from tests.pages import PAGES, Block, blocks, commands

BLOCKS = [block for page in PAGES for block in blocks(page)]
RUNNING = [block for block in BLOCKS if block.runs]
SHELLS_OWN = {"cd", "do", "done", "export", "for"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reader's; what one block leaves in it the next one finds."""
    found = tmp_path_factory.mktemp("reader")
    # What the pages use of a clone.
    (found / "docker").symlink_to(ROOT / "docker")
    for block in BLOCKS:
        if block.file:
            assert not (found / block.file).exists(), f"{block.where}: another block has the name {block.file}"
            (found / block.file).write_text(block.text)
    return found


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """That of somebody who has set nothing, and has ``orchestrator`` on the path."""
    script = tmp_path_factory.mktemp("bin") / "orchestrator"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m orchestrator "$@"\n')
    script.chmod(0o755)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("ORCHESTRATOR_")}
    # The code beside the tests is what runs, wherever else it is installed.
    return clean | {"PATH": f"{script.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("block", RUNNING, ids=[block.where for block in RUNNING])
def test_it_works_as_it_stands(block: Block, folder: Path, environment: dict[str, str]) -> None:
    called = {words[0] for words in commands(block, frozenset())}
    for name in called - {"orchestrator"} - SHELLS_OWN:
        if "/" not in name and shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-"] if block.language == "python" else ["sh", "-eu"],
        input=block.text,
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
