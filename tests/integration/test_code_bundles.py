"""Code bundles on a fleet: sent to workers that have none of it, verified, kept apart, and recorded with each trial."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path

from fleet import PATIENCE, Fleet, follow_to_end, notices

from orchestrator.doctor.celery_probe import query_workers
from orchestrator.model.progress_events import Progress, TrialEnded
from tasks import redis_keys

TRAIN = """
import inspect, os
from .shared import VALUE
class Model:
    value = VALUE
def objective(trial):
    from mypkg import late
    trial.set_user_attr("pid", os.getpid())
    trial.set_user_attr("source_of", inspect.getsource(Model))
    trial.set_user_attr("file", __file__)
    return Model.value + late.VALUE
"""
ALICE = "alice:" + "0123456789abcdef" * 4
FLEET = "fleet:" + "fedcba9876543210" * 4


def project(folder: Path, value: int) -> Path:
    """A project whose package has the name of every other one's."""
    package = folder / "src" / "mypkg"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "shared.py").write_text(f"VALUE = {value}\n")
    (package / "late.py").write_text(f"VALUE = {10 * value}\n")
    (package / "train.py").write_text(TRAIN)
    return folder


def submit(fleet: Fleet, folder: Path, name: str, trials: int = 4, code: str = "", **environment: str) -> None:
    spec = folder / f"{name}.toml"
    spec.write_text(
        f'name = "{name}"\nobjective = "mypkg.train:objective"\ntrials = {trials}\n'
        f'[code]\ninclude = ["src/mypkg"]\n{code}'
    )
    done = fleet.start("submit", str(spec), environment=fleet.environment() | environment)
    assert done.popen.wait(PATIENCE) == 0, done.log.read_text()


def end_of(fleet: Fleet, name: str) -> Progress:
    assert fleet.servers is not None
    with closing(fleet.servers.client()) as client:
        return follow_to_end(client, name)


def test_two_studies_share_a_slot_and_mix_no_modules(running_embedded: Fleet, tmp_path: Path) -> None:
    it = running_embedded
    assert it.servers is not None
    it.start("serve")
    one, two = project(tmp_path / "one", 1), project(tmp_path / "two", 2)
    submit(it, one, "one")
    submit(it, two, "two")
    it.start("worker", "--slots", "1", environment=it.environment() | {"ORCHESTRATOR_OBJECTIVES": "bundle:*"})
    assert [end_of(it, name).state for name in ("one", "two")] == ["finished", "finished"]
    trials = {name: it.servers.study(name).trials for name in ("one", "two")}
    assert {trial.value for trial in trials["one"]} == {11.0}
    assert {trial.value for trial in trials["two"]} == {22.0}
    attributes = [trial.user_attrs for each in trials.values() for trial in each]
    assert len({each["pid"] for each in attributes}) == 1, "the process stays warm"
    assert {each["source_of"] for each in attributes} == {"class Model:\n    value = VALUE\n"}
    assert not [each["file"] for each in attributes if str(tmp_path / "one") in each["file"]]
    sources = {name: {trial.user_attrs["source"] for trial in each} for name, each in trials.items()}
    assert all(len(found) == 1 for found in sources.values())
    assert sources["one"] != sources["two"]

    # The code of each is given back.
    done = it.call("code", "two", "--trial", "0", "--to", str(tmp_path / "out"), "--json")
    assert done.returncode == 0, done.stderr
    assert {json.loads(done.stdout)["digest"]} == sources["two"]
    assert (tmp_path / "out" / "src" / "mypkg" / "shared.py").read_text() == "VALUE = 2\n"

    # Changed code goes on with the study; a Redis that was emptied gets it again.
    (one / "src" / "mypkg" / "shared.py").write_text("VALUE = 3\n")
    with closing(it.servers.client()) as client:
        client.delete(*client.keys(redis_keys.code("*")))
        submit(it, one, "one", trials=5)
        # What was said of the study before it went on is still to be read.
        ended = (each for each in notices(client, "one") if isinstance(each, TrialEnded))
        assert next(each.state for each in ended if each.number == 4) == "COMPLETE"
    last = it.servers.study("one").trials[-1]
    assert last.value == 13.0
    assert last.user_attrs["source"] not in sources["one"]
    assert "other code than trial 0" in it.call("why", "one", "4").stdout
    assert it.call("code", "one", "--trial", "0", "--json").stdout != it.call("code", "one", "--json").stdout


def test_a_worker_that_admits_no_bundles_says_so(running_embedded: Fleet, tmp_path: Path) -> None:
    it = running_embedded
    it.start("serve")
    assert it.servers is not None
    it.start("worker", "--slots", "1", environment=it.environment() | {"ORCHESTRATOR_OBJECTIVES": "*"})
    submit(it, project(tmp_path / "one", 1), "one")
    end = end_of(it, "one")
    assert [each.bundles for each in query_workers(it.servers.redis_url)[0]] == [()], "it tells doctor, too"
    assert (end.state, end.failed) == ("failed", 1)
    assert "this worker runs no code that is sent to it; to admit all of it, add bundle:*" in end.reason


def test_a_worker_runs_what_the_key_that_it_admits_has_signed(running_embedded: Fleet, tmp_path: Path) -> None:
    it = running_embedded
    it.start("serve", environment=it.environment() | {"ORCHESTRATOR_SIGNING_KEY": FLEET})
    worker = {"ORCHESTRATOR_SIGNING_KEY": f"{FLEET} {ALICE}", "ORCHESTRATOR_OBJECTIVES": "bundle:alice"}
    it.start("worker", "--slots", "1", environment=it.environment() | worker)
    one = project(tmp_path / "one", 1)
    submit(it, one, "signed", ORCHESTRATOR_SIGNING_KEY=ALICE)
    assert end_of(it, "signed").state == "finished", it.logs()
    (one / "src" / "mypkg" / "shared.py").write_text("VALUE = 3\n")
    submit(it, one, "another", ORCHESTRATOR_SIGNING_KEY=FLEET)
    end = end_of(it, "another")
    assert end.state == "failed"
    assert "is signed with the key 'fleet'; this worker admits ORCHESTRATOR_OBJECTIVES=bundle:alice" in end.reason


def test_requirements_are_compared_with_what_the_worker_has(running_embedded: Fleet, tmp_path: Path) -> None:
    it = running_embedded
    it.start("serve")
    it.start("worker", "--slots", "1", environment=it.environment() | {"ORCHESTRATOR_OBJECTIVES": "bundle:*"})
    one = project(tmp_path / "one", 1)
    submit(it, one, "fitting", code='requirements = ["numpy>=1", "python>=3.8", "nosuch; python_version < \'3\'"]\n')
    assert end_of(it, "fitting").state == "finished"
    submit(it, one, "lacking", code='requirements = ["numpy<1", "no-such-package>=2"]\n')
    end = end_of(it, "lacking")
    assert end.state == "failed"
    assert "'numpy<1' is required, and numpy " in end.reason
    assert "'no-such-package>=2' is required, and no-such-package is not installed" in end.reason


SCRIPT = """
import multiprocessing
from orchestrator import Search

SQUARES = []

def square(value):
    return value * value

for each in range(3):
    SQUARES.append(square(each))

def objective(trial, power):
    # A child that is started anew imports the module by its name.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return float(sum(pool.map(square, SQUARES)) ** power)

print(Search(objective, name="script", trials=2, args={"power": 2}).submit().wait(120).best_value)
"""


def test_a_function_of_a_script_is_submitted(running_embedded: Fleet, tmp_path: Path) -> None:
    it = running_embedded
    it.start("serve")
    it.start("worker", "--slots", "1", environment=it.environment() | {"ORCHESTRATOR_OBJECTIVES": "bundle:*"})
    script = tmp_path / "with space" / "my-script.py"
    script.parent.mkdir()
    script.write_text(SCRIPT)
    done = it.launch([sys.executable, str(script)], "script")
    assert done.popen.wait(PATIENCE) == 0, it.logs()
    assert done.log.read_text().splitlines()[-1] == "289.0"
    kept = json.loads(it.call("code", "script", "--json").stdout)
    assert (kept["objective"], list(kept["files"])) == ("my_script:objective", ["my_script.py"])
