"""Whatever is wrong with what was given: exit code 2, one line, and nothing changed."""

from __future__ import annotations

import subprocess
import sys

import pytest
from fleet import PATIENCE, Fleet

from tests import preloaded

GOOD = 'name = "n"\nobjective = "objectives:steady"\ntrials = 2\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('name = "n\ntrials = 2\n', ["spec.toml", "line 1"]),
        (GOOD + "trails = 3\n", ["spec.toml", "trails", "did you mean 'trials'"]),
        (GOOD.replace("trials = 2", 'trials = "2"'), ["spec.toml", "trials", "integer"]),
        (GOOD + '[space]\nx = { type = "float", low = 2, high = 1 }\n', ["spec.toml", "space.x", "low", "high"]),
        (GOOD + '[pruner]\nname = "medain"\n', ["spec.toml", "pruner.name", "did you mean 'median'"]),
        (GOOD + '[sampler]\nname = "tpe"\nn_startup = 3\n', ["spec.toml", "sampler.n_startup", "n_startup_trials"]),
        (GOOD + "timeout = '2 hours'\n", ["spec.toml", "timeout", "cannot be '2 hours'"]),
        (GOOD + "[notify]\nurl = 'https://h/x'\non = ['finshed']\n", ["notify.on[0]", "did you mean 'finished'?"]),
        (GOOD.replace("objectives:steady", "objectivs:steady"), ["spec.toml", "no module 'objectivs'"]),
        (GOOD.replace(":steady", ":steddy"), ["spec.toml", "steddy", "did you mean 'steady'"]),
        (GOOD.replace(":steady", ":not_callable"), ["spec.toml", "not_callable"]),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else None,
)
def test_a_wrong_spec_is_answered_with_one_line(alone: Fleet, text: str, expected: list[str]) -> None:
    path = str(alone.write_spec(text))
    done = alone.call("run", path)
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    for part in expected:
        assert part in last
    assert "Traceback" not in done.stderr
    checked = alone.call("validate", path)
    assert (checked.returncode, checked.stdout, checked.stderr.strip()) == (2, "", last)


def test_a_good_spec_is_said_to_be_one(alone: Fleet) -> None:
    path = alone.write_spec(GOOD + 'max_steps = 9\n[pruner]\nname = "asha"\nmode = "sync"\nmin_resource = 1\n')
    done = alone.call("validate", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"{path}: n: 2 trials of objectives:steady\nsampler tpe, pruner asha with promotion, minimize\n"
    )
    assert not (alone.folder / "data").exists(), "nothing is made"


def test_a_missing_spec(alone: Fleet) -> None:
    done = alone.call("run", "nowhere.toml")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "nowhere.toml: there is no such file" in done.stderr


def test_an_objective_whose_import_fails_on_the_worker(alone: Fleet) -> None:
    (alone.folder / "needy.py").write_text("import a_missing_module\n\ndef objective(trial):\n    return 0.0\n")
    done = alone.call("run", str(alone.write_spec(GOOD.replace("objectives:steady", "needy:objective"))))
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert "spec.toml: objective 'needy:objective'" in last
    assert "No module named 'a_missing_module'" in last


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("ORCHESTRATOR_REDIS_URL", "redis://:secret@127.0.0.1:1/0", "Redis cannot be reached"),
        ("ORCHESTRATOR_STORAGE_URL", "postgresql://me:secret@127.0.0.1:1/x", "the database cannot be reached"),
        ("ORCHESTRATOR_DATA_DIR", "/proc/nowhere", "cannot be created"),
        ("ORCHESTRATOR_REDIS_ULR", "redis://127.0.0.1", "did you mean"),
        ("ORCHESTRATOR_LEASE", "soon", "ORCHESTRATOR_LEASE"),
    ],
)
def test_wrong_settings(alone: Fleet, variable: str, value: str, expected: str) -> None:
    spec = alone.write_spec(GOOD)
    environment = alone.environment() | {variable: value}
    done = preloaded.run("run", str(spec), environment=environment, folder=alone.folder, seconds=PATIENCE)
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert expected in last
    assert "secret" not in done.stderr


def test_another_search_under_the_same_name_is_refused_and_nothing_is_lost(alone: Fleet) -> None:
    assert alone.call("run", str(alone.write_spec(GOOD))).returncode == 0
    other = alone.write_spec(GOOD + 'direction = "maximize"\n[args]\nepochs = 3\n', "other.toml")
    done = alone.call("run", str(other))
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert "study 'n'" in last
    assert "direction was 'minimize' and is 'maximize'" in last
    assert "epochs" in last
    again = alone.call("run", str(alone.folder / "spec.toml"), "--json")
    assert again.returncode == 0
    assert '"complete": 2' in again.stdout


@pytest.mark.parametrize(
    "arguments", [["serve"], ["submit", "spec.toml"], ["worker"], ["run"], ["rnu"], ["worker", "-x"]]
)
def test_a_command_without_what_it_needs(alone: Fleet, arguments: list[str]) -> None:
    alone.write_spec(GOOD)
    done = alone.call(*arguments)
    assert done.returncode == 2
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--gpus", "0,1,2", "--gpus-per-trial", "2"], "--gpus-per-trial: is 2, and of 3 GPUs some would be left over"),
        (["--gpus", "0,1", "--per-gpu", "2", "--gpus-per-trial", "2"], "--per-gpu and --gpus-per-trial: slots share"),
        (["--queues", "a,,b"], "--queues: '' is no name of a queue"),
    ],
)
def test_a_worker_that_is_told_what_cannot_be_says_so_in_one_line(
    running_embedded: Fleet, arguments: list[str], problem: str
) -> None:
    done = running_embedded.call("worker", *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(problem)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from orchestrator.cli import cli; "
        "assert CliRunner().invoke(cli, ['--help']).exit_code == 0; "
        "print(sorted({'torch', 'celery', 'optuna', 'sqlalchemy', 'redis', 'pydantic', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout.strip() == "[]"
