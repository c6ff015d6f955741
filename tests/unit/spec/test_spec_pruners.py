"""[pruner] with a pruner of Optuna's kind: class and arguments are tried before a search begins."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest
from spec_text import made

from orchestrator.common.errors import BadInput
from orchestrator.spec.pruner_factory import build_pruner, check_pruner

MODULE = """
import warnings
from optuna.pruners import BasePruner, MedianPruner as Imported

class Mine(BasePruner):
    def __init__(self, steps: int, share: float = 0.5, names=(), *, strict: "bool | None" = None):
        warnings.warn("experimental")
        if steps < 0:
            raise RuntimeError("steps must\\nnot be negative")
        self.given = (steps, share, names, strict)

    def prune(self, study, trial):
        return False

    class Inner(BasePruner):
        def prune(self, study, trial):
            return False

class Anything(Mine):
    def __init__(self, **others):
        self.given = others

class Abstract(BasePruner):
    pass

class Other:
    pass

def function(study, trial):
    return False
"""


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "their_pruners": MODULE,
        "their_broken": "1 / 0",
        "their_exit": "raise SystemExit(3)",
        "their_import": "import no_such_module_anywhere",
        "their_syntax": "def",
    }.items():
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize("key", ["pruner", "shadow"])
@pytest.mark.parametrize(
    "table",
    [
        "name = 'none'",
        "name = 'asha'",
        "name = 'wilcoxon'",
        "name = 'wilcoxon'\np_threshold = 0\nn_startup_steps = 3",
        "name = 'optuna.pruners:MedianPruner'\nn_min_trials = 3",
        "name = 'their_pruners:Mine'\nsteps = 3\nshare = 1\nnames = ['x']\nstrict = true",
        "name = 'their_pruners:Mine.Inner'",
        "name = 'their_pruners:Imported'",
        "name = 'their_pruners:Anything'\nx = { y = 1 }",
        "name = 'patient'\npatience = 1\nwrapped = { name = 'their_pruners:Mine', steps = 1 }",
    ],
)
def test_what_can_be_made_passes_without_a_warning(key: str, table: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_pruner(made(f"[{key}]\n{table}"), "s.toml")


def test_arguments_reach_the_class() -> None:
    made_of = vars(build_pruner("their_pruners:Mine", {"steps": 3, "names": ["x"]}))
    assert made_of == {"given": (3, 0.5, ["x"], None)}
    assert vars(build_pruner("their_pruners:Anything", {"x": {"y": 1}})) == {"given": {"x": {"y": 1}}}
    assert vars(build_pruner("wilcoxon", {"p_threshold": 0.3})) == {"_p_threshold": 0.3, "_n_startup_steps": 2}


MINE = "name = 'their_pruners:Mine'"
REFUSED = [
    ("name = 'wilcoxon'\np_treshold = 1", "p_treshold: 'wilcoxon' has no such argument; did you mean 'p_threshold'?"),
    ("name = 'wilcoxon'\np_threshold = '1'", "p_threshold: is a string ('1'); it must be a number"),
    ("name = 'wilcoxon'\nn_startup_steps = true", "n_startup_steps: is a boolean (true); it must be an integer"),
    ("name = 'wilcoxon'\np_threshold = 2.0", "'wilcoxon' cannot be made of these arguments: ValueError: p_threshold"),
    ("name = 'no_such.module_:X'", "name: there is no module 'no_such'; it must be importable from where"),
    ("name = 'their_pruners.deeper:X'", "name: there is no module 'their_pruners.deeper'"),
    ("name = 'their_pruners:Main'", "name: 'their_pruners' has no 'Main'; did you mean 'Mine'?"),
    ("name = 'their_pruners:Mine.X'", "name: 'their_pruners' has no 'Mine.X'"),
    ("name = 'their_pruners:Other'", "name: 'their_pruners:Other' is no pruner; it must be a subclass of optuna."),
    ("name = 'their_pruners:function'", "name: 'their_pruners:function' is no pruner; it must be a subclass"),
    ("name = 'their_pruners:Abstract'", "'their_pruners:Abstract' cannot be made of these arguments: TypeError: "),
    ("name = 'json:Decoder'", "name: 'json' has no 'Decoder'; it defines no pruner"),
    ("name = 'their_broken:X'", "name: importing 'their_broken' failed: ZeroDivisionError: division by zero"),
    ("name = 'their_exit:X'", "name: importing 'their_exit' failed: SystemExit: 3"),
    ("name = 'their_import:X'", "name: importing 'their_import' failed: ModuleNotFoundError: No module named"),
    ("name = 'their_syntax:X'", "name: importing 'their_syntax' failed: SyntaxError: "),
    (MINE, "steps: required key missing; 'their_pruners:Mine' needs it"),
    (f"{MINE}\nsteps = -1", "'their_pruners:Mine' cannot be made of these arguments: RuntimeError: steps must not"),
    (f"{MINE}\nsteps = 1.5", "steps: is a float (1.5); it must be an integer"),
    (f"{MINE}\nsteps = 1\nstrict = 1", "strict: is an integer (1); it must be true or false"),
    (f"{MINE}\nstep = 1", "step: 'their_pruners:Mine' has no such argument; did you mean 'steps'?"),
    ("name = 'their_pruners:Mine.Inner'\nstep = 1", "step: 'their_pruners:Mine.Inner' has no such argument; it takes"),
    ("name = 'optuna.pruners:PatientPruner'\npatience = 1", "wrapped_pruner: required key missing"),
]


@pytest.mark.parametrize(("table", "message"), REFUSED)
def test_what_cannot_be_made_is_refused_in_one_line(table: str, message: str) -> None:
    inside = table.replace("\n", ", ")
    for extra, key in (
        (f"[pruner]\n{table}", "pruner"),
        (f"[shadow]\n{table}", "shadow"),
        (f"[pruner]\nname = 'patient'\npatience = 1\nwrapped = {{ {inside} }}", "pruner.wrapped"),
    ):
        with pytest.raises(BadInput) as caught:
            check_pruner(made(extra), "s.toml")
        text = str(caught.value)
        assert "\n" not in text
        where = f"{key}: " if message.startswith("'") else f"{key}."
        assert text.startswith(f"s.toml: {where}{message}"), text


def test_without_a_source_the_key_comes_first() -> None:
    with pytest.raises(BadInput) as caught:
        check_pruner(made("[shadow]\nname = 'wilcoxon'\nx = 1"))
    assert str(caught.value).startswith("shadow.x: 'wilcoxon' has no such argument")
