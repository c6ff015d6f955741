"""A new rule is one file and one line in the registry: everything else finds it there."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from orchestrator.cli.options import complete_rule
from orchestrator.pruning import registry
from orchestrator.queries.replay import Candidate, compare
from orchestrator.spec import Spec
from orchestrator.spec.inline_pruner import read_pruner
from orchestrator.spec.model import validate
from orchestrator.terminal.why_text import explain
from tests.simulated.simulation import Simulation
from tests.spec_reference import reference
from tests.unit.control.measured import SEARCH, metrics, objective, samples
from tests.unit.pruning.hurdle import HurdleArguments
from tests.unit.queries.test_rule_replay import BAD, GOOD, recording
from tests.unit.spec.spec_text import BASE, made, refusal
from tests.unit.terminal.recorded_trials import facts, row

TABLE = {"name": "hurdle", "height": 0.5, "by_step": 2}


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "RULES", (*registry.RULES, HurdleArguments))


def test_the_spec_takes_it_and_stores_it() -> None:
    spec = made("[pruner]\nname = 'hurdle'\nheight = 0.5\nby_step = 2")
    assert spec.pruner == HurdleArguments(height=0.5, by_step=2)
    stored = json.loads(json.dumps(spec.to_json()))
    assert stored["pruner"] == TABLE
    assert Spec.from_json(stored) == spec


def test_it_may_be_the_shadow_and_stand_inside_patient() -> None:
    assert made("[shadow]\nname = 'hurdle'\nheight = 1").shadow == HurdleArguments(height=1.0)
    inside = made("[pruner]\nname = 'patient'\npatience = 1\n[pruner.wrapped]\nname = 'hurdle'\nheight = 1").to_json()
    assert inside["pruner"]["wrapped"] == {"name": "hurdle", "height": 1.0, "by_step": 1}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name = 'hurdle'", "pruner.height: required key missing"),
        ("name = 'hurdle'\nheigth = 1", "pruner.heigth: unknown key; did you mean 'height'?"),
        ("name = 'hurdle'\nheight = 1\nby_step = 0", "pruner.by_step: is 0; it must be at least 1"),
        ("name = 'hurdel'\nheight = 1", "pruner.name: there is no 'hurdel'; did you mean 'hurdle'?"),
        ("height = 1", "pruner.name: required key missing; one of median, percentile, asha, hyperband, "),
    ],
)
def test_the_error_texts_know_it(table: str, message: str) -> None:
    text = refusal(f"{BASE}[pruner]\n{table}")
    assert text.startswith(f"s.toml: {message}")
    if message.endswith(", "):
        assert "hurdle" in text


def test_the_reference_of_the_spec_has_it() -> None:
    page = reference()
    section = page[page.index("### hurdle") : page.index("### module:Class")]
    assert "Stops a trial that is not past a value by a step." in section
    assert "| `height` | number | required | The value to be past. |" in section
    assert "| `by_step` | integer, at least 1 | `1` | No trial is stopped before this step. |" in section
    assert 'name = "hurdle"\nheight = 0.5\nby_step = 2\n```' in section
    assert page.index("### none") < page.index("### hurdle"), "in the order of the registry"


def test_the_command_line_offers_and_reads_it() -> None:
    assert read_pruner("hurdle height=0.5 by_step=2", "--pruner") == HurdleArguments(height=0.5, by_step=2)
    parameter = click.Argument(["pruner"])
    assert [item.value for item in complete_rule(click.Context(click.Command("replay")), parameter, "hu")] == ["hurdle"]


def test_replay_runs_it() -> None:
    (_, found) = compare(recording([GOOD, BAD]), [Candidate("hurdle", HurdleArguments(height=0.5, by_step=1))])
    assert (found.rule, found.pruned, found.winner) == ("hurdle", {1: 1}, 0)


def test_why_speaks_its_words() -> None:
    pruned = facts(pruner=TABLE, decisions=[row("prune", 3, 0.4, 0.5, 0, "hurdle")])
    assert explain(pruned).startswith("trial 9 was pruned at epoch 3: value 0.4, and the hurdle of step 2 is 0.5\n")
    close = facts("COMPLETE", values=(0.6,), pruner=TABLE, closest=row("keep", 3, 0.6, 0.5, 0, "hurdle"))
    assert explain(close).endswith("0.6 was 0.1 above the hurdle of step 2")


def test_a_search_is_pruned_by_it_and_the_metrics_count_it() -> None:
    shown = metrics()
    it = Simulation(validate(SEARCH | {"pruner": TABLE | {"height": 2.5}}, "test"), objective, observer=shown.observe)
    it.start()
    it.run_to_end()
    pruned = [found for found in it.ledger.decisions.values() if found.action == "prune"]
    assert {(found.rule, found.step, found.threshold) for found in pruned} == {("hurdle", 2, 2.5)}
    assert samples(shown.registry)["orchestrator_decisions_total", "hurdle", "prune"] == len(pruned) > 0


def test_the_example_is_in_the_docs() -> None:
    page = (Path(__file__).parents[3] / "CONTRIBUTING.md").read_text()
    assert "tests/unit/pruning/hurdle.py" in page
    assert "test_add_a_rule.py" in page
