"""The Python of the pages, run as a reader runs it: each block as a script, in the order of its page, in one folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fleet import PATIENCE, ROOT, Fleet, with_environment

from tests.pages import Block, all_blocks

BLOCKS = all_blocks("test_python_page")
PAGES = sorted({block.page for block in BLOCKS})
FIRST = ROOT / "README.md"
"""The page whose blocks `make test` runs, too."""


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[] if page == FIRST else pytest.mark.long) for page in PAGES],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_every_block_of_a_page_works_as_it_stands(alone: Fleet, page: Path) -> None:
    for block in BLOCKS:
        if block.page == page:
            run(alone, block)
    assert not with_environment("ORCHESTRATOR_DATA_DIR", str(alone.folder / "data"))


def run(it: Fleet, block: Block) -> None:
    script = it.folder / f"line_{block.line}.py"
    script.write_text(block.text)
    process = it.launch([sys.executable, str(script)], script.stem)
    assert process.popen.wait(PATIENCE) == 0, f"{block.where}: {process.log.read_text()}"
