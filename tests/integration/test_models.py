"""Models and files of trials, with real workers: stored where Optuna finds them, deleted when they are not needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
from fleet import Fleet, Servers, follow_to_end, real_servers_only, wait_for
from optuna.artifacts import FileSystemArtifactStore, download_artifact, get_all_artifact_meta
from optuna.trial import TrialState

from tests.later import Later

torch = Later("torch")

SPEC = """
name = "models"
objective = "objectives:models"
direction = "maximize"
trials = {trials}
max_steps = 3
seed = 3
keep_models = {keep}
[args]
folder = "{folder}"
"""
UNPRUNED = """
[pruner]
name = "none"
"""


def read_study(it: Fleet) -> optuna.Study:
    """Returns the study of a run with all of its trials in memory, so that no connection stays open."""
    servers = Servers("", f"sqlite:///{it.folder / 'data' / 'studies.db'}")
    try:
        kept = optuna.storages.InMemoryStorage()
        optuna.copy_study(from_study_name="models", from_storage=servers.study("models")._storage, to_storage=kept)
        return optuna.load_study(study_name="models", storage=kept)
    finally:
        servers.close()


def metas(study: optuna.Study, number: int) -> dict[str, str]:
    """Returns the files of a trial as Optuna lists them: id by name."""
    found = get_all_artifact_meta(study.get_trials()[number], storage=study._storage)
    assert len({meta.filename for meta in found}) == len(found)
    return {meta.filename: meta.artifact_id for meta in found}


def stored(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_models_of_the_best_are_there_and_can_be_downloaded(alone: Fleet, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    alone.write_spec(SPEC.format(trials=5, keep=2, folder=own) + UNPRUNED)

    done = alone.call("run", "spec.toml", "--slots", "2", "--json")

    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert result["trials"] == {"complete": 5, "pruned": 0, "failed": 0}
    folder = alone.folder / "data" / "artifacts"
    study = read_study(alone)
    files = [metas(study, number) for number in range(5)]
    ours = {id for each in files for name, id in each.items() if not name.startswith("own")}
    assert [set(each) for each in files] == [
        {"plots/curve.txt", f"own-{number}.txt"} | ({"model.pt"} if number > 2 else set()) for number in range(5)
    ]
    assert stored(folder) == ours
    assert {each[f"own-{number}.txt"] for number, each in enumerate(files)} <= stored(own)

    best = result["best"]
    assert best["number"] == 4
    assert best["model"] == {
        "filename": "model.pt",
        "artifact_id": files[4]["model.pt"],
        "location": str(folder / files[4]["model.pt"]),
    }
    assert "best model     model.pt: orchestrator models get models best" in done.stderr.splitlines()
    copy = tmp_path / "copy.pt"
    download_artifact(
        artifact_store=FileSystemArtifactStore(folder), artifact_id=best["model"]["artifact_id"], file_path=str(copy)
    )
    assert torch.load(copy, weights_only=True) == {"number": 4, "step": 3}


STOPPED = """
name = "models"
objective = "objectives:leaves_files"
trials = 3
retry = { max_attempts = 1 }
[pruner]
name = "median"
n_startup_trials = 1
"""


def test_a_trial_that_is_stopped_or_dies_keeps_what_it_had(alone: Fleet) -> None:
    alone.write_spec(STOPPED)

    done = alone.call("run", "spec.toml", "--slots", "1", "--json")

    result = json.loads(done.stdout.splitlines()[-1])
    assert result["trials"] == {"complete": 1, "pruned": 1, "failed": 1}, done.stderr
    study = read_study(alone)
    files = [metas(study, number) for number in range(3)]
    assert [set(each) for each in files] == [{"notes.txt", "model.pt"}] * 3
    folder = alone.folder / "data" / "artifacts"
    assert stored(folder) == {id for each in files for id in each.values()}
    assert [(folder / each["notes.txt"]).read_text() for each in files] == ["0", "1", "2"]
    assert not list((alone.folder / "data" / "scratch").iterdir()), "nothing is left on the way"


PROMOTED = """
[pruner]
name = "asha"
mode = "promotion"
min_resource = 1
reduction_factor = 3
"""


@real_servers_only
def test_promoted_trials_keep_one_of_each_and_the_others_no_model(running: Fleet, tmp_path: Path) -> None:
    servers = running.servers
    assert servers is not None
    kept = tmp_path / "kept"
    environment = running.environment() | {"ORCHESTRATOR_ARTIFACT_URL": f"file://{kept}"}
    running.start("serve", environment=environment)
    running.start("worker", "--slots", "2", environment=environment)
    running.submit(running.write_spec(SPEC.format(trials=6, keep=1, folder="") + PROMOTED))

    end = follow_to_end(servers.client(), "models")

    assert (end.state, end.complete + end.pruned) == ("finished", 6), running.logs()
    study = servers.study("models")
    trials = study.get_trials()
    complete = [trial.number for trial in trials if trial.state is TrialState.COMPLETE]
    assert 1 < len(complete) < 6
    files = [metas(study, number) for number in range(6)]
    assert [number for number, each in enumerate(files) if "model.pt" in each] == [max(complete)]
    assert all(set(each) - {"model.pt"} == {"plots/curve.txt"} for each in files), "once, however often a trial went on"
    expected = {id for each in files for id in each.values()}
    wait_for(lambda: stored(kept) == expected, "what is recorded is there, and nothing else")
    assert torch.load(kept / files[max(complete)]["model.pt"], weights_only=True)["step"] == 3


def test_a_model_that_could_not_be_stored_is_named_at_the_end(alone: Fleet) -> None:
    store = alone.folder / "data" / "artifacts"
    spec = f'name = "lost"\nobjective = "objectives:unstorable"\ntrials = 1\n[args]\nstore = "{store}"\n'
    alone.write_spec(spec)

    done = alone.call("run", "spec.toml", "--slots", "1", "--json")

    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert result["trials"] == {"complete": 1, "pruned": 0, "failed": 0}
    (lost,) = result["models_not_stored"]
    assert (lost["trial"], lost["filename"]) == (0, "model.pt")
    assert "exists" in lost["problem"].lower()
    assert any(line.startswith("not stored     model 'model.pt' of trial 0: ") for line in done.stderr.splitlines())
