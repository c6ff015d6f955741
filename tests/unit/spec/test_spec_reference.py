"""docs/spec.md says what the model is, of every key, and its examples are specs."""

from __future__ import annotations

from pathlib import Path

import pytest
from spec_text import BASE

from orchestrator.spec import parse
from orchestrator.spec.pruner_factory import check_pruner
from orchestrator.spec.sampler_factory import check_sampler
from tests.spec_reference import COMMAND, Section, keys, meanings, reference, sections

PAGE = Path(__file__).parents[3] / "docs" / "spec.md"
EXAMPLES = {section.name: section.example for section in sections()}


def example(name: str) -> str:
    """Returns the example of a section as a whole spec."""
    base = "".join(line for line in BASE.splitlines(True) if name != "command" or not line.startswith("objective"))
    return ("" if name == "" else base + "max_steps = 27\n") + EXAMPLES[name]


def test_the_page_is_what_the_model_says() -> None:
    assert PAGE.read_text() == reference(), f"docs/spec.md is behind the model; write it anew: {COMMAND}"


@pytest.mark.parametrize("section", sections(), ids=EXAMPLES)
def test_every_key_says_what_it_means(section: Section) -> None:
    if section.model is not None:
        silent = [key for key in keys(section.model) if not meanings(section.model).get(key)]
        assert not silent, f"the docstring of {section.model.__name__} has to say under Attributes what these mean"


def test_every_table_has_an_example() -> None:
    missing = [name for name, text in EXAMPLES.items() if not text.strip()]
    assert not missing, "the docstring of a table gives TOML under Example"


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_a_spec(name: str) -> None:
    spec = parse(example(name), "example")
    check_sampler(spec)
    check_pruner(spec)


def test_the_first_examples_of_all_tables_are_one_spec() -> None:
    """Of a table that has several kinds, one; what can stand together does."""
    # A command stands in place of an objective, with the space that its words name.
    others = ("pruner.asha", "command")
    chosen = {name.partition(".")[0]: text for name, text in EXAMPLES.items() if name not in others}
    chosen["pruner"] = EXAMPLES["pruner.median"]
    chosen["space"] = EXAMPLES["space.float"] + "".join(
        EXAMPLES[name].partition("\n")[2] for name in EXAMPLES if name.startswith("space.") and name != "space.float"
    )

    spec = parse("".join(chosen.values()), "example")

    assert spec.enqueue[0] == {"lr": 0.01, "optimizer": "adam"}
    assert set(spec.space) == {"lr", "dropout", "width", "optimizer"}
    assert spec.retry.out_of_memory == 1
