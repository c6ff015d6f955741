"""How an objective's code reaches a worker: from where, whether it is admitted, and what happens when it changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fleet import PATIENCE, ROOT, Fleet, follow_to_end, notices, wait_for

from orchestrator.model.progress_events import OtherSource, Progress

EVIL = """
from pathlib import Path
Path(__file__).with_suffix(".imported").touch()
def objective(trial): return 1.0
"""
CRASHES = """
import os
from pathlib import Path
def objective(trial):
    here = Path(__file__)
    if trial.number == 1 and not here.read_text().endswith("# changed\\n"):
        here.write_text(here.read_text() + "# changed\\n")
        os._exit(3)
    return float(trial.number)
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A folder of the objective path; another one is only on Python's own, as an installed package is."""
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed" / "evil.py").write_text(EVIL)
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "value.py").write_text("VALUE = 1.0\n")
    (folder / "mine.py").write_text(
        "import subprocess\nfrom subprocess import getoutput\nimport value\ndef objective(trial): return value.VALUE\n"
    )
    (folder / "crashes.py").write_text(CRASHES)
    return folder


def environment(fleet: Fleet, code: Path) -> dict[str, str]:
    return fleet.environment() | {
        "ORCHESTRATOR_OBJECTIVE_PATH": os.path.relpath(code, fleet.folder),
        "PYTHONPATH": os.pathsep.join((str(code.parent / "installed"), str(ROOT))),
    }


def submit(fleet: Fleet, code: Path, name: str, objective: str, trials: int = 1, more: str = "") -> Progress:
    """Submits a study and waits for its end."""
    assert fleet.servers is not None
    text = f'name = "{name}"\nobjective = "{objective}"\ntrials = {trials}\n{more}'
    done = fleet.start("submit", str(fleet.write_spec(text)), environment=environment(fleet, code))
    assert done.popen.wait(PATIENCE) == 0, done.log.read_text()
    return follow_to_end(fleet.servers.client(), name)


def test_one_worker_admits_what_it_should_and_trains_what_is_there(running_embedded: Fleet, code: Path) -> None:
    it = running_embedded
    assert it.servers is not None
    it.start("serve")
    worker = it.start("worker", "--slots", "1", environment=environment(it, code))
    victim = code.parent / "executed"

    # By its name: nothing is imported.
    end = submit(it, code, "evil", "evil:objective")
    assert (end.state, end.failed) == ("failed", 1)
    assert "this worker does not admit 'evil'; ORCHESTRATOR_OBJECTIVES is not set" in end.reason
    assert not (code.parent / "installed" / "evil.imported").exists()
    failure = it.servers.study("evil").trials[0].user_attrs["failure"]
    assert (failure["cause"], failure["error"]) == ("import", "NotAdmitted")

    # By what it leads to: with these arguments the call would leave a file.
    end = submit(it, code, "alias", "mine:getoutput", more=f'[args]\ncmd = "touch {victim}"\n')
    assert (end.state, end.failed) == ("failed", 1)
    assert "mine:getoutput: it is defined in 'subprocess'" in end.reason
    assert not victim.exists()

    # From the objective path; and changed code without a new worker.
    assert submit(it, code, "before", "mine:objective", 2).complete == 2
    (code / "value.py").write_text("VALUE = 22.0\n")
    assert submit(it, code, "after", "mine:objective", 2).complete == 2
    assert [trial.value for trial in it.servers.study("before").trials] == [1.0, 1.0]
    assert [trial.value for trial in it.servers.study("after").trials] == [22.0, 22.0]
    sources = [{trial.user_attrs["source"] for trial in it.servers.study(name).trials} for name in ("before", "after")]
    assert [len(each) for each in sources] == [1, 1]
    assert sources[0] != sources[1]
    assert "the source of 'value' has changed" in worker.log.read_text()
    assert worker.popen.poll() is None


def test_a_study_whose_code_changes_under_it_goes_on_and_says_so(running_embedded: Fleet, code: Path) -> None:
    it = running_embedded
    assert it.servers is not None
    serve = it.start("serve")
    it.start("worker", "--slots", "1", environment=environment(it, code))
    end = submit(it, code, "s", "crashes:objective", 4)
    assert (end.state, end.complete) == ("finished", 4)

    told = []
    for notice in notices(it.servers.client(), "s"):
        if isinstance(notice, OtherSource):
            told.append((notice.number, notice.first))
        elif isinstance(notice, Progress) and notice.state == "finished":
            break
    # Trial 1 again, or trial 2, where the slot was handed that one before the other was back in the queue.
    assert told in ([(1, 0)], [(2, 0)])
    warning = f"study s: trial {told[0][0]} trains with other source than trial 0"
    wait_for(lambda: warning in serve.log.read_text(), "the warning")
    assert serve.log.read_text().count("other source") == 1
    sources = [trial.user_attrs["source"] for trial in it.servers.study("s").trials]
    assert sources[0] == sources[1]
    assert sources[2] == sources[3] != sources[0]
    assert "other source" not in it.call("why", "s", "0").stdout
    assert "trained with other source than trial 0" in it.call("why", "s", "2").stdout


def test_run_admits_the_objective_of_its_spec(alone: Fleet, code: Path) -> None:
    spec = alone.write_spec('name = "r"\nobjective = "evil:objective"\ntrials = 1\n')
    done = alone.start("run", str(spec), "--slots", "1", environment=environment(alone, code))
    assert done.popen.wait(PATIENCE) == 0, done.log.read_text()


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("ORCHESTRATOR_OBJECTIVE_PATH", "nowhere", "nowhere' does not exist"),
        ("ORCHESTRATOR_OBJECTIVES", "mine.*", "write 'mine', which admits all below it"),
    ],
)
def test_a_worker_that_was_told_nonsense_does_not_start(alone: Fleet, variable: str, value: str, words: str) -> None:
    given = alone.environment() | {"ORCHESTRATOR_REDIS_URL": "redis://localhost:1/0", variable: value}
    done = alone.start("worker", environment=given)
    assert done.popen.wait(PATIENCE) == 2
    assert words in done.log.read_text()
    assert len(done.log.read_text().splitlines()) == 1
