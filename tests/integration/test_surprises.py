"""docs/surprises.md: every piece of code there is trained on one fleet, three trials one after the other in a process.

The page's answers are held to what the trials found, and to the files that are there when the worker has stopped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fleet import ROOT, Fleet, fleet, follow_to_end
from fleet_servers import embedded_servers
from optuna.trial import FrozenTrial, TrialState

from tests.pages import all_blocks

PAGE = (ROOT / "docs" / "surprises.md").read_text()
CODE = {
    heading.lower().replace("`", "").replace(" ", "_"): code
    for heading, code in re.findall(r"^## ([^\n]+)\n\n```python run=test_surprises\n(.*?)^```", PAGE, re.M | re.S)
}
ARGUMENTS = "arguments_as_the_module_is_imported"
REQUIRED = CODE[ARGUMENTS].replace("type=int, default=3", "required=True")
TRIALS = 3

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A fleet that has trained all of them and has ended."""
    folder = tmp_path_factory.mktemp("surprises")
    with contextmanager(embedded_servers)(folder) as servers, fleet(servers, folder) as it:
        it.start("serve")
        worker = it.start("worker", "--slots", "1", environment=environment(it))
        # By itself, and last: a module that cannot be imported costs the process.
        for codes in (CODE, {"train": REQUIRED}):
            for name, code in codes.items():
                (folder / f"{name}.py").write_text(code)
                text = f'name = "{name}"\nobjective = "{name}:objective"\ntrials = {TRIALS}\n'
                spec = it.write_spec(text, f"{name}.toml")
                assert it.start("submit", str(spec), environment=environment(it)).popen.wait(60) == 0, it.logs()
            for name in codes:
                follow_to_end(servers.client(), name)
        worker.stop()
        yield it


def environment(it: Fleet) -> dict[str, str]:
    return it.environment() | {"ORCHESTRATOR_OBJECTIVE_PATH": str(it.folder)}


def trials(it: Fleet, name: str) -> list[FrozenTrial]:
    assert it.servers is not None
    found = it.servers.study(name).trials
    assert [each.state for each in found] == [TrialState.COMPLETE] * TRIALS, found
    return found


def attributes(it: Fleet, name: str, key: str) -> list[Any]:
    return [trial.user_attrs[key] for trial in trials(it, name)]


def lines(it: Fleet, name: str) -> list[str]:
    return (it.folder / name).read_text().splitlines()


def test_every_block_of_the_page_is_trained(trained: Fleet) -> None:
    assert len(CODE) == len(all_blocks("test_surprises")) == PAGE.count("\n## ") >= 13
    for name in CODE:
        trials(trained, name)


def test_arguments_have_their_defaults_and_a_required_one_is_refused(trained: Fleet) -> None:
    for trial in trials(trained, ARGUMENTS):
        assert trial.value == pytest.approx(3 * trial.params["rate"])
    done = trained.start("run", "train.toml", environment=environment(trained))
    assert done.popen.wait(60) == 2
    assert "importing 'train' raises SystemExit: 2" in done.log.read_text()
    assert trained.servers is not None
    end = follow_to_end(trained.servers.client(), "train")
    assert (end.state, "SystemExit: 2" in end.reason) == ("failed", True), end.reason


def test_the_directory_is_put_back_and_a_variable_stays(trained: Fleet) -> None:
    name = "the_working_directory_and_the_environment"
    assert attributes(trained, name, "begins in") == [str(trained.folder)] * TRIALS
    assert attributes(trained, name, "finds") == ["", "of trial 0", "of trial 1"]


def test_a_seed_at_import_counts_once_and_one_in_the_trial_always(trained: Fleet) -> None:
    import random

    import torch

    drawn = random.Random(7)
    assert attributes(trained, "seeds", "seeded at import") == [drawn.random() for _ in range(TRIALS)]
    again = [torch.rand(1, generator=torch.Generator().manual_seed(number)).item() for number in range(TRIALS)]
    assert attributes(trained, "seeds", "seeded in the trial") == again


def test_loaders_threads_and_children_work(trained: Fleet) -> None:
    for trial in trials(trained, "dataloader_workers"):
        assert trial.value == pytest.approx(trial.params["scale"] * (6 + 28))
    for trial in trials(trained, "threads_that_report"):
        steps = {step: pytest.approx(trial.params["x"] * step) for step in range(1, 9)}
        assert dict(trial.intermediate_values) == steps
    assert [trial.value for trial in trials(trained, "child_processes")] == [0.25] * TRIALS
    assert not [pid for pid in attributes(trained, "child_processes", "left") if Path(f"/proc/{pid}").exists()]
    done = trained.call("logs", "child_processes", "0")
    assert "from a child" in done.stdout, done.stderr


def test_a_start_method_is_taken_once(trained: Fleet) -> None:
    said = attributes(trained, "the_start_method", "said")
    assert said[1:] == ["context has already been set"] * (TRIALS - 1)


def test_what_stands_beside_the_objective_runs_once_for_each_process(trained: Fleet) -> None:
    assert lines(trained, "main-ran.txt") == ["once"]
    assert lines(trained, "loads.txt") == ["loaded"]
    assert lines(trained, "goodbye.txt") == ["goodbye"]
    assert attributes(trained, "models_that_stay_in_globals", "models") == [1, 2, 3]


def test_a_file_that_stays_open_has_all_lines_at_the_end(trained: Fleet) -> None:
    found = trials(trained, "files_that_stay_open")
    assert lines(trained, "lines.csv") == [f"{trial.number},{trial.params['x']}" for trial in found]
    assert {name for trial in found for key in trial.system_attrs if "x.txt" in (name := str(trial.system_attrs[key]))}


def test_there_is_no_one_to_ask(trained: Fleet) -> None:
    assert attributes(trained, "questions_to_a_person", "answer") == ["there is no one to ask"] * TRIALS
