"""The keywords of ``Search``: those of a spec, with a spec's defaults and a spec's refusals."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator import BadInput, Search
from orchestrator.common.table import Table
from orchestrator.spec import parse
from orchestrator.spec.model import Spec

OBJECTIVE = "tasks.objectives.digits:objective"
LEAST: dict[str, Any] = {"objective": OBJECTIVE, "name": "one", "trials": 3}


def test_the_keywords_are_the_keys_of_a_spec_in_their_order() -> None:
    parameters = inspect.signature(Search).parameters
    keys = [key for key in parameters if key != "unknown"]
    assert set(keys) == Spec.model_fields.keys() - Spec.internal
    ordered = sorted(keys[1:], key=list(Spec.model_fields).index)
    assert keys[1:] == ordered, "name first, as in a spec"
    assert all(parameters[key].default is None for key in keys), "a spec's own defaults count"


def test_every_keyword_is_described() -> None:
    words = inspect.getdoc(Search) or ""
    described = {line.strip().partition(":")[0] for line in words.splitlines() if line.startswith("    ")}
    assert inspect.signature(Search).parameters.keys() - {"unknown"} <= described


WRONG: dict[str, list[Any]] = {
    "name": ["", "a b", 5, "x" * 600, "..", "a/b"],
    "objective": ["digits", "tasks.objectives.digits", "tasks.objectives.digits:nothing", "no.such:module", 5],
    "direction": ["max", "maximise", 1],
    "directions": [[], ["minimize"] * 11, ["up", "down"], "minimize"],
    "trials": [0, -1, 1.5, "3", True, 10**10],
    "timeout": [0, -1, "2x", "soon", float("inf")],
    "target": ["0.5", float("nan")],
    "patience": [0],
    "max_total_steps": [0],
    "max_steps": [0, "27"],
    "parallel": [0, -3],
    "lookahead": [0, "much", 10**6, True],
    "seed": [-1, 2**32, 1.0],
    "queue": ["unacked", "", "a b"],
    "priority": [-1, 10],
    "weight": [0, 1000.0],
    "catch": ["ValueError", ["not a name!"], [""]],
    "grace": [0, 1e9, "10"],
    "stall_timeout": ["10 years"],
    "max_trial_time": [-5],
    "timed_out": ["stopped", 1],
    "keep_models": [0],
    "args": [5, {"a b": 1}, {"x": float("nan")}, {"x": 10**30}],
    "command": [{}, "python train.py"],
    "code": [5, {"include": "src"}, {"files": ["a"]}],
    "sampler": [5, {"name": "tep"}, {"name": "tpe", "n_startup": 3}, {"seed": 3}, {"name": "no.such:Class"}],
    "pruner": [
        5,
        {"name": "medain"},
        {"name": "median", "n_startup_trials": -1},
        {"name": "percentile"},
        {"name": "wilcoxon", "p": 1},
    ],
    "shadow": [
        *({"name": "asha", "mode": "promotion"}, {"name": "wilcoxon", "p": 1}),
        {"name": "patient", "patience": 1, "wrapped": {"name": "wilcoxon", "p": 1}},
    ],
    "audit": [1.0, -0.1, 0.5],
    "space": [
        5,
        {"lr": {"type": "float", "low": 1.0, "high": 0.0}},
        {"lr": {"low": 0, "high": 1}},
        {"lr": {"type": "flot", "low": 0, "high": 1}},
        {"lr": [0, 1]},
        {"": {"type": "int", "low": 0, "high": 1}},
        {"o": {"type": "categorical", "choices": []}},
    ],
    "enqueue": [[{}], [5], {"lr": 1}],
    "retry": [{"max_attempts": 0}, {"attempts": 3}, 3],
    "notify": [{"url": "nowhere"}, {"on": ["end"]}],
    "schedule": [{"cron": "every day"}, {}],
}
"""For each keyword values that no spec can hold."""


def test_each_keyword_has_wrong_values() -> None:
    assert WRONG.keys() == Spec.model_fields.keys() - Spec.internal


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_a_wrong_value_is_refused_as_validate_refuses_it(key: str, value: Any, tmp_path: Path) -> None:
    keys = {**LEAST, key: value}
    if key == "command":
        del keys["objective"]
    if key == "audit" and value == 0.5:
        keys["pruner"] = {"name": "none"}
    path = tmp_path / "one.toml"
    path.write_text("".join(f"{each} = {_toml(keys[each])}\n" for each in keys))
    with pytest.raises(BadInput) as from_file:
        _validate(path)
    with pytest.raises(BadInput) as from_python:
        Search(**keys)
    assert str(from_python.value).removeprefix("Search: ") == str(from_file.value).removeprefix(f"{path}: ")


def _validate(path: Path) -> None:
    """Does what `orchestrator validate` does."""
    from orchestrator.api.spec_input import check_sampler_and_pruner

    search = Search.from_file(path)
    check_sampler_and_pruner(search.spec, str(path))


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, float):
        return str(value)
    return json.dumps(value)


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ("trails", "trials"),
        ("n_trials", "trials"),
        ("metric", "direction"),
        ("n_jobs", "parallel"),
        ("max_epochs", "max_steps"),
        ("samplers", "sampler"),
    ],
)
def test_an_unknown_keyword_is_answered_with_the_right_one(given: str, right: str) -> None:
    with pytest.raises(BadInput, match=f"Search: {given}: unknown key; did you mean '{right}'"):
        Search(**LEAST, **{given: 5})


def test_what_is_missing_is_said() -> None:
    with pytest.raises(BadInput, match=r"Search: objective: required key missing; name a function"):
        Search(name="one", trials=3)
    with pytest.raises(BadInput, match=r"Search: trials: required key missing"):
        Search(OBJECTIVE, name="one")
    with pytest.raises(BadInput, match=r"Search: name: required key missing"):
        Search(OBJECTIVE, trials=3)


def test_a_search_of_keywords_is_the_spec_of_a_file() -> None:
    file = Path(__file__).parents[3] / "studies" / "digits.toml"
    spec = Search.from_file(file).spec
    given = {key: getattr(spec, key) for key in spec.model_fields_set}
    tables = {key: value.model_dump(exclude_unset=True) for key, value in given.items() if isinstance(value, Table)}
    assert Search(**given | tables).spec == spec


def test_name_and_trials_replace_those_of_a_file() -> None:
    file = Path(__file__).parents[3] / "studies" / "digits.toml"
    search = Search.from_file(str(file), name="other", trials=2)
    assert (search.name, search.spec.trials) == ("other", 2)
    with pytest.raises(BadInput, match="there is no such file"):
        Search.from_file("missing.toml")


def test_python_values_are_those_of_a_spec() -> None:
    search = Search(
        OBJECTIVE,
        name="one",
        trials=int(np.int64(3)),
        target=np.float64(0.5),  # type: ignore[arg-type, unused-ignore]
        catch=[ValueError, "torch.cuda.OutOfMemoryError", json.JSONDecodeError],
        args={"sizes": (1, np.int64(2)), "folder": Path("data"), "rates": np.array([0.5, 1.0])},
        enqueue=({"lr": np.float32(0.5)},),
        retry={"max_attempts": 2},
    )
    spec = search.spec
    assert spec.catch == ("ValueError", "torch.cuda.OutOfMemoryError", "json.decoder.JSONDecodeError")
    assert spec.args == {"sizes": [1, 2], "folder": "data", "rates": [0.5, 1.0]}
    assert spec.enqueue == ({"lr": 0.5},)
    assert type(spec.enqueue[0]["lr"]) is float
    assert (
        parse(
            f'name = "one"\nobjective = "{OBJECTIVE}"\ntrials = 3\ntarget = 0.5\n'
            'catch = ["ValueError", "torch.cuda.OutOfMemoryError", "json.decoder.JSONDecodeError"]\n'
            'args = { sizes = [1, 2], folder = "data", rates = [0.5, 1.0] }\nenqueue = [{ lr = 0.5 }]\n'
            "retry = { max_attempts = 2 }",
            "one",
        )
        == spec
    )


def test_a_value_that_holds_itself_is_refused() -> None:
    args: dict[str, Any] = {}
    args["again"] = args
    with pytest.raises(BadInput, match="Search: a value holds itself, or is nested too deep; flatten it"):
        Search(**LEAST, args=args)


def test_a_search_shows_what_it_is() -> None:
    assert repr(Search(**LEAST)) == f"<Search 'one': 3 trials of {OBJECTIVE}>"


def test_importing_and_describing_a_search_imports_no_large_library() -> None:
    code = (
        "import sys, orchestrator\n"
        "assert not [name for name in sys.modules if name.startswith('orchestrator.')], 'names are imported lazily'\n"
        "from orchestrator import BadInput, Fleet, OrchestratorError, Search, StudyFailed, StudyHandle, connect\n"
        "space = {'x': {'type': 'int', 'low': 1, 'high': 2}}\n"
        f"Search({OBJECTIVE!r}, name='one', trials=3, pruner='median', space=space)\n"
        "print(*sorted({'optuna', 'celery', 'torch', 'sqlalchemy', 'numpy', 'rich'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == ([], "")


def test_the_package_names_what_it_has() -> None:
    import orchestrator

    assert set(orchestrator.__all__) <= set(dir(orchestrator))
    for name in orchestrator.__all__:
        assert getattr(orchestrator, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'Serach'"):
        _ = orchestrator.Serach  # type: ignore[attr-defined]
