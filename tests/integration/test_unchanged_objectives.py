"""What an objective may do under ``study.optimize`` it may do on a worker: several values, a look at its study,
samplers of every kind, configurations that come first."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest
from fleet import Fleet, follow_to_end, wait_for
from optuna.trial import TrialState

OBJECTIVES = '''
import time
from pathlib import Path

import optuna


def two(trial):
    size = trial.suggest_int("size", 1, 9)
    rate = trial.suggest_float("rate", 0.0, 0.5)
    trial.set_constraint("memory", size - 6)
    return size, 1 / size + rate


def looks(trial):
    x = trial.suggest_float("x", 0.0, 1.0)
    study = trial.study
    complete = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    trial.set_user_attr("seen", [each.number for each in complete])
    trial.set_user_attr("all", len(study.trials))
    trial.set_user_attr("own", study.trials[trial.number].params)
    trial.set_user_attr("of_the_study", study.user_attrs)
    if complete:
        best = study.best_trial
        trial.set_user_attr("best", [best.number, best.value, best.params])
        trial.set_user_attr("later", [study.best_value, study.best_params])
        trial.set_user_attr("frame", list(study.trials_dataframe().columns)[:3])
        after = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
        trial.set_user_attr("after", [each.number for each in after])
    return (x - 0.3) ** 2


def finite(trial):
    kind = trial.suggest_categorical("kind", ["int", "float"])
    if kind == "int":
        return trial.suggest_int("n", 1, 3)
    return trial.suggest_float("x", 0.0, 0.5, step=0.5) + trial.suggest_int("more", 0, 1)


def waits(trial, *, folder):
    x = trial.suggest_float("x", 0.0, 1.0)
    y = trial.suggest_categorical("y", ["a", "b"])
    while not Path(folder, "go").exists():
        time.sleep(0.01)
    return x


class Halving(optuna.samplers.RandomSampler):
    """Goes on from where it was."""

    def __init__(self, seed=None, first=1.0):
        super().__init__(seed)
        self.next = first

    def sample_independent(self, study, trial, name, distribution):
        self.next /= 2
        return self.next


def plain(trial):
    return trial.suggest_float("x", 0.0, 1.0)
'''

HEAD = """
name = "{name}"
objective = "theirs:{name}"
trials = {trials}
seed = 5
"""


@pytest.fixture
def theirs(running: Fleet) -> Fleet:
    (running.folder / "theirs.py").write_text(OBJECTIVES)
    running.start("serve")
    running.start("worker", "--slots", "2")
    return running


def search(it: Fleet, name: str, trials: int, more: str = "") -> optuna.Study:
    """Runs a search to its end; returns the study as Optuna reads it."""
    assert it.servers is not None
    it.submit(it.write_spec(HEAD.format(name=name, trials=trials) + more, f"{name}.toml"))
    end = follow_to_end(it.servers.client(), name)
    assert end.state == "finished", it.logs()
    return it.servers.study(name)


def test_searches_of_every_kind(theirs: Fleet) -> None:
    assert theirs.servers is not None

    two = search(theirs, "two", 14, "directions = ['minimize', 'maximize']\n[sampler]\nname = 'nsgaii'\n")
    assert [direction.name for direction in two.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert all(len(trial.values) == 2 for trial in two.trials)
    assert all(trial.constraints == {"memory": trial.params["size"] - 6} for trial in two.trials)
    assert two.best_trials
    assert all(trial.params["size"] <= 6 for trial in two.best_trials)

    looks = search(theirs, "looks", 8)
    for trial in looks.trials:
        seen = trial.user_attrs["seen"]
        assert trial.number not in seen
        assert trial.user_attrs["own"] == trial.params
        assert trial.user_attrs["all"] > trial.number
        if seen:
            # Each look is at the study of that moment, and the other slot may have completed a trial in between.
            best, value, params = trial.user_attrs["best"]
            assert best in trial.user_attrs["after"]
            assert (value, params) == (looks.trials[best].value, looks.trials[best].params)
            later, latest = trial.user_attrs["later"]
            assert (latest["x"] - 0.3) ** 2 <= later <= value <= min(looks.trials[number].value for number in seen)
            assert trial.user_attrs["frame"] == ["number", "value", "datetime_start"]
    assert len(looks.trials[-1].user_attrs["seen"]) >= 5

    finite = search(theirs, "finite", 30, "[sampler]\nname = 'brute_force'\n")
    tried = [tuple(trial.params.values()) for trial in finite.trials]
    assert len(set(tried)) == 7

    plain = search(theirs, "plain", 6, "[sampler]\nname = 'theirs:Halving'\nfirst = 0.5\n")
    assert sorted((trial.params["x"] for trial in plain.trials), reverse=True) == [0.5**n for n in range(2, 8)]


def test_what_is_enqueued_is_next(theirs: Fleet) -> None:
    servers, folder = theirs.servers, theirs.folder
    assert servers is not None
    more = f"enqueue = [{{ x = 0.25, y = 'b' }}]\n[args]\nfolder = '{folder}'\n"
    theirs.submit(theirs.write_spec(HEAD.format(name="waits", trials=5) + more))
    wait_for(lambda: sum(bool(each.params) for each in servers.study("waits").trials) >= 2, "two trials run")

    given = theirs.call("enqueue", "waits", "x=0.75", "yy=1")
    assert given.returncode == 0
    assert given.stderr == "note: no trial of 'waits' has had a parameter 'yy' yet; did you mean 'y'?\n"
    refused = theirs.call("enqueue", "waits", "x=[1]")
    assert (refused.returncode, refused.stderr) == (
        2,
        "orchestrator: study 'waits': x: is an array (1 entry); it must be a number, a string, true, false or null\n",
    )
    (folder / "go").touch()

    assert follow_to_end(servers.client(), "waits").complete == 6, theirs.logs()
    trials = servers.study("waits").trials
    assert trials[0].params == {"x": 0.25, "y": "b"}
    (wanted,) = (trial for trial in trials if trial.params["x"] == 0.75)
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    began = sorted(trials, key=lambda trial: trial.datetime_start)
    assert wanted.number in [trial.number for trial in began[2:4]], "the first that began after it was enqueued"


def test_without_servers_it_is_kept_for_the_next_run(alone: Fleet, tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text(OBJECTIVES)
    spec = alone.write_spec(HEAD.format(name="two", trials=2) + "directions = ['minimize', 'maximize']\n")
    first = alone.call("run", str(spec), "--slots", "1", "--json")
    assert first.returncode == 0, first.stderr
    result = json.loads(first.stdout.splitlines()[-1])
    assert result["best"] is None
    assert result["best_trials"]
    assert all(len(each["values"]) == 2 for each in result["best_trials"])

    kept = alone.call("enqueue", "two", "size=3", "rate=0.125")
    assert (kept.returncode, kept.stdout) == (0, "")
    assert kept.stderr.startswith("stored: ")
    assert alone.call("retry", "two", "0").stderr.startswith("stored: ")
    second = alone.call("run", str(spec), "--slots", "1", "--json")
    assert second.returncode == 0, second.stderr
    assert json.loads(second.stdout.splitlines()[-1])["trials"] == {"complete": 4, "pruned": 0, "failed": 0}
    why = alone.call("why", "two", "2")
    assert why.stdout.startswith("trial 2 completed with 3, 0.4583 after 0 epochs")
    assert "retry of trial 0" in alone.call("why", "two", "3").stdout
