"""What a ``run`` works on is deleted under it: it says so and fails, whatever its open files still take."""

from __future__ import annotations

import shutil

import pytest
from fleet import Fleet, wait_for, with_environment

SPEC = """
name = "one"
objective = "objectives:steady"
trials = 4000
[args]
seconds = 0.01
"""


@pytest.mark.parametrize("what", ["the folder", "the database", "what is in the folder"])
def test_the_run_ends_and_says_what_is_gone(alone: Fleet, what: str) -> None:
    run = alone.start("run", str(alone.write_spec(SPEC)), "--slots", "1")
    wait_for(lambda: "\ntrial " in run.log.read_text() or run.popen.poll() is not None, "a trial has ended")
    data = alone.folder / "data"
    if what == "the database":
        (data / "studies.db").unlink()
    else:
        shutil.rmtree(data, ignore_errors=True)
        if what == "what is in the folder":
            # The run may have made it again already, for a file of its own.
            data.mkdir(exist_ok=True)

    assert run.popen.wait(60) == 1

    last = run.log.read_text().splitlines()[-1]
    assert "was deleted or replaced while the search ran" in last
    assert str(data) in last
    assert "Traceback" not in run.log.read_text()
    assert not with_environment("ORCHESTRATOR_DATA_DIR", str(data))
