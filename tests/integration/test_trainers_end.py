"""Training processes end as programs end: what an objective has buffered is in its file when a search is over. One
that had to be replaced costs its slot the time that is shown as the slot gap, and the next trial nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet import Fleet, wait_for

from orchestrator.queries.readonly import open_study_reader

OBJECTIVE = """
import atexit
import threading
import time
from pathlib import Path

import optuna

time.sleep(0.75)

file = open("results.csv", "a", newline="")

@atexit.register
def summary():
    with open("summary.txt", "a") as out:
        out.write("done\\n")

def objective(trial, last):
    if trial.number < 5:
        file.write(f"{trial.number}\\n")
        if trial.number == 2:
            threading.Thread(target=time.sleep, args=(600,), name="left over", daemon=True).start()
        return 0.5
    Path("waiting").touch()
    if last == "is pruned":
        raise optuna.TrialPruned
    time.sleep(600)
"""

IMPORT_SECONDS = 0.75
SPEC = """
name = "ends"
objective = "train:objective"
trials = 6
[args]
last = "{last}"
[pruner]
name = "none"
"""


@pytest.mark.parametrize("last", ["is pruned", "is interrupted"])
def test_what_was_buffered_is_written_at_the_end_of_a_run(tmp_path: Path, last: str) -> None:
    it = Fleet(None, tmp_path)
    (tmp_path / "train.py").write_text(OBJECTIVE)
    process = it.start(
        "run",
        str(it.write_spec(SPEC.format(last=last))),
        "--slots",
        "1",
        environment=it.environment() | {"ORCHESTRATOR_OBJECTIVE_PATH": str(tmp_path)},
    )
    try:
        wait_for((tmp_path / "waiting").exists, "the last trial")
        code = process.stop() if last == "is interrupted" else process.popen.wait(240)
    finally:
        it.close()
    assert code == (0 if last == "is pruned" else 130), it.logs()
    assert (tmp_path / "results.csv").read_text() == "".join(f"{number}\n" for number in range(5)), it.logs()
    assert (tmp_path / "summary.txt").read_text() == "done\n" * 2, "once for each training process"
    log = (tmp_path / "data" / "logs" / "worker.log").read_text()
    assert log.count("the trainer is replaced: the trial left threads behind: left over") == 1
    with open_study_reader(f"sqlite:///{tmp_path / 'data' / 'studies.db'}") as history:
        gaps = [history.trial("ends", str(number)).attempts[0].gap for number in range(5)]
    assert gaps[0] is None
    assert [gap is not None and gap > IMPORT_SECONDS for gap in gaps[1:]] == [False, False, True, False], gaps
