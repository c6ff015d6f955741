"""What the pages of the documentation mark with ``run``, run by a reader who has all their files, in their order."""

from __future__ import annotations

from pathlib import Path

import clean_shell
import pytest
from clean_shell import run_script
from fleet import ROOT

from tests.installed import require
from tests.pages import SHELLS_OWN, Block, all_blocks, commands

pytestmark = pytest.mark.long

OF_A_CLONE = ("Makefile", "pyproject.toml", "docker", "studies")
"""What the pages use of it."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The reader's; what one block leaves in it the next one finds."""
    found = tmp_path / "reader"
    found.mkdir()
    for name in OF_A_CLONE:
        (found / name).symlink_to(ROOT / name)
    for block in all_blocks():
        if block.file:
            assert not (found / block.file).exists(), f"{block.where}: another block has the name {block.file}"
            (found / block.file).write_text(block.text)
    return found


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    made = clean_shell.environment(folder / ".venv" / "bin")
    # It is set up: what runs is what runs these tests.
    (folder / ".venv" / ".installed").touch()
    return made


@pytest.mark.timeout(3600)
def test_every_block_works_as_it_stands(folder: Path, environment: dict[str, str], subtests: pytest.Subtests) -> None:
    for block in all_blocks("test_recipes"):
        with subtests.test(block.where):
            run(block, folder, environment)


def run(block: Block, folder: Path, environment: dict[str, str]) -> None:
    called = {words[0] for words in commands(block) if "/" not in words[0]}
    require(*sorted(called - SHELLS_OWN), folder=folder / ".venv" / "bin")
    done = run_script(block.text, folder, environment, block.language)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
