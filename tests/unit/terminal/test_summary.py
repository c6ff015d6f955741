"""The end of a search: the JSON object's exact shape, and the text."""

from __future__ import annotations

import json
import math

import msgspec
import pytest
from rich.cells import cell_len

from orchestrator.common.formatting import percentiles as words_of
from orchestrator.model.progress_events import Best
from orchestrator.model.search_summary import Epochs, Model, Summary, Trials, percentiles
from orchestrator.pruning.expectations import Calibration
from orchestrator.terminal.summary import render_summary, to_json

pytestmark = pytest.mark.usefixtures("shell")

SUMMARY = Summary(
    study="digits",
    storage="sqlite:////home/me/.orchestrator/optuna.db",
    state="finished",
    best=Best(number=4, value=0.98333, params={"lr": 0.00123456, "optimizer": "Adam", "units": 128}),
    trials=Trials(complete=12, pruned=27, failed=1),
    epochs=Epochs(trained=412, budget=1080, saved=523),
    prune_latency_ms={"p50": 3.12, "p99": 9.8},
    slot_gap_ms={"p50": 1.5, "p99": 4.0},
    wall_s=72.34567,
)
EMPTY = Summary(study="digits", storage="sqlite:///a.db", state="failed", reason="the only trial failed: E: x")


def test_the_json_object() -> None:
    assert to_json(SUMMARY) == {
        "study": "digits",
        "storage": "sqlite:////home/me/.orchestrator/optuna.db",
        "state": "finished",
        "best": {
            "number": 4,
            "value": 0.98333,
            "params": {"lr": 0.00123456, "optimizer": "Adam", "units": 128},
        },
        "trials": {"complete": 12, "pruned": 27, "failed": 1},
        "epochs": {"trained": 412, "budget": 1080, "saved": 523},
        "prune_latency_ms": {"p50": 3.12, "p99": 9.8},
        "slot_gap_ms": {"p50": 1.5, "p99": 4.0},
        "wall_s": 72.346,
    }


def test_how_far_predictions_came_true() -> None:
    calibrated = Calibration(predictions=240, within_50=118, within_90=221)
    summary = msgspec.structs.replace(SUMMARY, calibration=calibrated)
    assert to_json(summary)["calibration"] == {"predictions": 240, "within_50": 118, "within_90": 221}
    assert (
        "\npredictions    118 of 240 held within their 50% band (49%)\n"
        "               221 of 240 held within their 90% band (92%)\n"
    ) in render_summary(summary, 80)


def test_the_json_object_with_nothing_in_it() -> None:
    assert to_json(EMPTY) == {
        "study": "digits",
        "storage": "sqlite:///a.db",
        "state": "failed",
        "reason": "the only trial failed: E: x",
        "best": None,
        "trials": {"complete": 0, "pruned": 0, "failed": 0},
        "epochs": {"trained": 0, "budget": None, "saved": None},
        "prune_latency_ms": None,
        "slot_gap_ms": None,
        "wall_s": 0.0,
    }


def test_the_model_of_the_best_trial() -> None:
    model = Model(filename="model.pt", artifact_id="a-1", location="/a/folder/of/" + 20 * "models/" + "a-1")
    summary = msgspec.structs.replace(SUMMARY, model=model)
    assert to_json(summary)["best"]["model"] == msgspec.structs.asdict(model)
    assert "best model     model.pt: orchestrator models get digits best" in render_summary(summary, 80).splitlines()
    assert "model" not in to_json(SUMMARY)["best"]
    assert "best model" not in render_summary(SUMMARY, 80)


def test_json_has_no_nan() -> None:
    odd = {
        "a": math.nan,
        "b": [math.inf, 1],
        "c": None,
        "d": True,
        "e": (1.5,),
        "f": {1: -math.inf},
        "g": {2},
    }
    summary = Summary(
        study="s",
        storage="",
        state="finished",
        best=Best(number=1, value=math.inf, params=odd),
        prune_latency_ms={"p50": math.nan, "p99": 1.0},
        wall_s=math.inf,
    )

    plain = json.loads(json.dumps(to_json(summary), allow_nan=False))

    assert plain["best"]["value"] is None
    assert plain["best"]["params"] == {
        "a": None, "b": [None, 1], "c": None, "d": True, "e": [1.5], "f": {"1": None}, "g": "{2}"
    }  # fmt: skip
    assert plain["wall_s"] is None
    assert plain["prune_latency_ms"] == {"p50": None, "p99": 1.0}
    assert "reason" not in plain


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([], None),
        ([math.nan, math.inf], None),
        ([0.00312345], {"p50": 3.12, "p99": 3.12}),
        ([0.002, 0.001], {"p50": 1.0, "p99": 2.0}),
        ([0.003, 0.001, 0.002], {"p50": 2.0, "p99": 3.0}),
        ([n / 1000 for n in range(1, 101)], {"p50": 50.0, "p99": 99.0}),
        ([n / 1000 for n in range(1, 102)], {"p50": 51.0, "p99": 100.0}),
    ],
)
def test_percentiles_by_nearest_rank(seconds: list[float], expected: dict[str, float] | None) -> None:
    measured = len([each for each in seconds if math.isfinite(each)])
    assert percentiles(seconds) == (None if expected is None else expected | {"count": measured})


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        ({"p50": 1.0, "p99": 1.0, "count": 1}, "1.00 ms (measured once)"),
        ({"p50": 1.0, "p99": 2.0, "count": 2}, "1.00 ms (median), 2.00 ms (the largest of 2)"),
        ({"p50": 1.0, "p99": 2.0, "count": 99}, "1.00 ms (median), 2.00 ms (the largest of 99)"),
        ({"p50": 1.0, "p99": 2.0, "count": 100}, "1.00 ms (median), 2.00 ms (99th percentile)"),
        ({"p50": 1.0, "p99": 2.0}, "1.00 ms (median), 2.00 ms (99th percentile)"),
    ],
)
def test_a_percentile_needs_as_many_as_it_says(measured: dict[str, float], words: str) -> None:
    assert words_of(measured) == words


def test_the_text() -> None:
    assert render_summary(SUMMARY, 80).split("\n") == [
        "study          digits",
        "result         finished",
        "best           0.9833 by trial 4",
        "               lr=0.001235  optimizer=Adam  units=128",
        "trials         40 ended: 12 complete, 27 pruned, 1 failed",
        "epochs         412 of 1080 trained (38%), 523 saved by pruning (56%)",
        "prune latency  3.12 ms (median), 9.80 ms (99th percentile)",
        "slot gap       1.50 ms (median), 4.00 ms (99th percentile)",
        "wall time      1m 12s",
        "stored in      sqlite:////home/me/.orchestrator/optuna.db",
        'open it with   optuna.load_study(study_name="digits", storage="sqlite:////home/me/.orchestrator/optuna.db")',
    ]


def test_what_was_not_measured_is_not_in_the_text() -> None:
    shown = render_summary(EMPTY, 80)

    assert "result         failed: the only trial failed: E: x\n" in shown
    assert "best           none: no trial completed\n" in shown
    assert "epochs         0 trained\n" in shown
    assert "latency" not in shown
    assert "gap" not in shown


@pytest.mark.parametrize("width", [10, 40, 80, 300])
def test_no_line_is_wider_but_those_to_be_copied(width: int) -> None:
    many = {f"parameter 学 {index}": 1 / (index + 1) for index in range(30)} | {"long": "🚀" * 100}
    summary = Summary(
        study="a name " * 30,
        storage="postgresql://me:***@db/" + "x" * 100,
        state="failed",
        reason="words in a row " * 30 + "w" * 100,
        best=Best(number=1, value=0.5, params=many),
        epochs=Epochs(trained=10**9, budget=10**10, saved=10**9),
        prune_latency_ms={"p50": 1e9, "p99": 1e9},
    )

    *lines, stored, hint = render_summary(summary, width).split("\n")

    assert max(cell_len(line) for line in lines) <= max(25, min(width, 80))
    assert stored.endswith("x" * 100)
    assert hint.endswith('x")')
