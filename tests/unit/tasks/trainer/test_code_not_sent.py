"""Files and modules of the user's that an objective misses in its code bundle: the failure says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.code_bundle import bundle_reference
from tasks.contract import Failed
from tests.unit.tasks.trainer.trainer_harness import running_trainer

DIGEST = "0" * 64
READS = "from pathlib import Path\ndef objective(trial): return float(Path({}).read_text())\n"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            READS.format("__file__).with_name('data.csv'"),
            "data.csv'; it did not come with the code: name it in 'include'",
        ),
        (READS.format("'/nowhere/data.csv'"), "No such file or directory: '/nowhere/data.csv'"),
        (
            "def objective(trial): import nosuch",
            "No module named 'nosuch'; neither is it installed here, nor did it come",
        ),
        (
            "import nosuch",
            "importing 'sent' raises ModuleNotFoundError: No module named 'nosuch'; neither is it installed",
        ),
    ],
)
def test_it_is_said_how_it_comes_along(source: str, message: str, tmp_path: Path) -> None:
    folder = tmp_path / DIGEST
    folder.mkdir()
    (folder / "sent.py").write_text(source)
    with running_trainer(tmp_path, "") as trainer:
        trainer.code = (str(folder),)
        trainer.train(bundle_reference(DIGEST, "sent:objective"))
    assert isinstance(trainer.outcome, Failed)
    assert message in trainer.outcome.message
    assert trainer.outcome.message.endswith("of [code]") == ("nowhere" not in source)
