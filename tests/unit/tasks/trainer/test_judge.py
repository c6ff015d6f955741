"""What an objective may return or raise: judged as ``study.optimize`` would."""

from __future__ import annotations

import math
import sys
import types
import warnings
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from tasks.codec import decode_event, encode
from tasks.contract import Event, Failed, Finished, Job, Paused
from tasks.trainer import objective_runner
from tasks.trainer.file_writers import ArtifactWriter, CheckpointWriter
from tasks.trainer.interrupt import Interrupter
from tasks.trainer.keeper_channel import KeeperChannel
from tasks.trainer.objective_runner import judge
from tasks.trainer.trial import WorkerTrial

RESULTS: list[Any] = [
    0,
    1.5,
    -0.0,
    True,
    math.inf,
    -math.inf,
    math.nan,
    None,
    "abc",
    "",
    b"ab",
    [1.0],
    (2,),
    [1.0, 2.0],
    (1.0, math.nan),
    [],
    ["abc"],
    [None],
    [[1.0]],
    {"a": 1},
    {1.0},
    object(),
    1j,
    Fraction(1, 2),
    Decimal("0.25"),
    Decimal("NaN"),
    np.float32(0.5),
    np.int64(3),
    np.bool_(True),
    np.array(0.5),
    np.array([1.0, 2.0]),
    np.float64("nan"),
    range(2),
]


def by_optuna(result: Any, directions: list[str]) -> list[float] | None:
    """The values that Optuna would store, None for a trial that failed."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=directions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study.optimize(lambda _: result, n_trials=1)
    trial = study.trials[0]
    return trial.values if trial.state is optuna.trial.TrialState.COMPLETE else None


@pytest.mark.parametrize("directions", [["minimize"], ["minimize", "maximize"]])
@pytest.mark.parametrize("result", RESULTS, ids=lambda result: repr(result).partition(" at 0x")[0])
def test_the_same_results_are_values_as_in_optuna(result: Any, directions: list[str]) -> None:
    expected = by_optuna(result, directions)
    found = judge(result, len(directions))
    if expected is None:
        assert isinstance(found, Failed)
        cause = "nan" if "nan is not acceptable" in found.message else "value"
        assert (found.cause, found.error) == (cause, "ValueError")
    else:
        assert repr(found) == repr(Finished(values=tuple(expected)))


@pytest.mark.parametrize("text", ["0.5", "1", "inf", "nan", np.str_("0.5"), "\u0661", ["0.5"], [b"0.5"]], ids=repr)
def test_text_that_reads_as_a_number_is_none(text: Any) -> None:
    """Optuna fails the trial or lets a TypeError out of ``optimize``, whatever the text begins with."""
    found = judge(text, 1)
    assert isinstance(found, Failed)
    assert (found.cause, found.message) == (
        "value",
        f"The value {text[0] if isinstance(text, list) else text!r} could not be cast to float",
    )


def test_a_number_beyond_all_floats_fails_the_trial() -> None:
    """Optuna lets the OverflowError out of ``optimize``."""
    assert isinstance(judge(10**400, 1), Failed)


class Odd(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even a message")


class Foul:
    def __repr__(self) -> str:
        raise RuntimeError("not even a name")


def leave(with_what: Any) -> Any:
    raise with_what


def noted(error: Exception, *notes: str) -> Exception:
    for note in notes:
        error.add_note(note)
    return error


class Unread(list[float]):
    def __iter__(self) -> Any:
        raise RuntimeError("\udce9")


CASES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "exception": (lambda _: leave(KeyError("x")), "KeyError"),
    "no message": (lambda _: leave(AssertionError()), "AssertionError"),
    "sys.exit": (lambda _: sys.exit(3), "SystemExit"),
    "Ctrl-C": (lambda _: leave(KeyboardInterrupt()), "KeyboardInterrupt"),
    "lone surrogate": (lambda _: leave(OSError("caf\udce9")), "OSError"),
    "NUL": (lambda _: leave(ValueError("a\0b")), "ValueError"),
    "endless": (lambda _: leave(ValueError("x" * 10_000_000)), "ValueError"),
    "group": (lambda _: leave(ExceptionGroup("many", [ValueError("a"), TypeError("b")])), "ExceptionGroup"),
    "recursion": (lambda trial: CASES["recursion"][0](trial), "RecursionError"),
    "no text": (lambda _: leave(Odd()), "Odd"),
    "asyncio": (lambda _: leave(GeneratorExit()), "GeneratorExit"),
    "an odd error of syntax": (lambda _: leave(SyntaxError("a", ("\udce9", 1, 1, object()))), "SyntaxError"),
    "odd notes": (lambda _: leave(noted(ValueError("a"), "\udce9\0", "x" * 10_000_000)), "ValueError"),
    "a name of 10 MB": (lambda _: leave(type("E" * 10_000_000, (Exception,), {})()), "E" * 200),
    "no repr": (lambda _: Foul(), "ValueError"),
    "no values": (lambda _: Unread([0.5]), "ValueError"),
}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Callable[[Any], Any]], Finished | Failed | None]:
    """Runs a function as an objective of a module of its own."""

    def run_it(function: Callable[[Any], Any]) -> Finished | Failed | None:
        module = types.ModuleType("objective_of_a_test")
        module.function = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        reference = f"{module.__name__}:function"
        job = Job(study="s", uid="u", trial=0, token="t", attempt=1, objective=reference, directions=("minimize",))
        interrupter = Interrupter()
        files = CheckpointWriter(tmp_path, "t")
        trial = WorkerTrial(
            job,
            KeeperChannel(lambda _: None, interrupter),
            files,
            ArtifactWriter(tmp_path / "artifacts"),
        )
        outcome = objective_runner.run(reference, trial, {}, interrupter, "t")
        assert not isinstance(outcome, Paused)
        return outcome

    return run_it


@pytest.mark.parametrize("name", CASES)
def test_whatever_an_objective_raises_is_told_and_can_be_sent(
    run: Callable[[Callable[[Any], Any]], Finished | Failed | None], name: str
) -> None:
    """What got past here would end the trainer, and the trial would be tried again in vain."""
    function, error = CASES[name]
    outcome = run(function)
    assert isinstance(outcome, Failed)
    assert outcome.error == error
    assert outcome.cause == ("value" if name in ("no repr", "no values") else "exception")
    event = Event(token="t", runner="r", seq=1, body=outcome)
    assert decode_event(encode(event)) == event
    assert "\0" not in outcome.message


def test_an_import_may_raise_anything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "odd_module.py").write_text('raise RuntimeError("caf\\udce9\\0" + "x" * 10_000_000)')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(objective_runner.ObjectiveMissing) as caught:
        objective_runner.load("odd_module:f")
    event = Event(token="t", runner="r", seq=1, body=Failed(cause="import", error="E", message=str(caught.value)))
    assert decode_event(encode(event)) == event


def test_pruning_itself_and_returning(run: Callable[[Callable[[Any], Any]], Finished | Failed | None]) -> None:
    assert run(lambda _: leave(optuna.TrialPruned())) == Finished(pruned=True)
    assert run(lambda _: 0.5) == Finished(values=(0.5,))


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("no_such_module_at_all:f", "importing 'no_such_module_at_all' raises ModuleNotFoundError"),
        ("math:no_such", "'math' has no 'no_such'"),
        ("math:pi", "'pi' is float, but must be a function taking an Optuna trial"),
        ("math:pi.real.none", "has no 'pi.real.none'"),
    ],
)
def test_an_objective_that_is_not_there_is_named(reference: str, words: str) -> None:
    with pytest.raises(objective_runner.ObjectiveMissing) as caught:
        objective_runner.load(reference)
    assert str(caught.value).startswith(reference)
    assert words in str(caught.value)
