"""Work that a spec can ask for is bounded: whatever a key holds, the spec is refused at once, or its search starts."""

from __future__ import annotations

import copy
import inspect
import tomllib
from collections.abc import Iterator
from typing import Any

import optuna
import pytest
from spec_text import BASE, made, refusal

from orchestrator.common.errors import BadInput
from orchestrator.engine.state import Snapshot
from orchestrator.engine.study import StudyEngine
from orchestrator.spec import Spec, parse
from orchestrator.spec.inline_pruner import read_pruner
from orchestrator.spec.load import DEEPEST_KEY
from orchestrator.spec.lookahead import LARGEST_LOOKAHEAD
from orchestrator.spec.model import validate
from orchestrator.spec.pruner_factory import check_pruner
from orchestrator.spec.sampler_factory import allowed_arguments, build_sampler, check_sampler, sampler_class
from orchestrator.spec.sampler_table import LARGEST_CANDIDATES, SAMPLERS
from tests.spec_reference import keys, sections

pytestmark = pytest.mark.timeout(60)

ODD: dict[str, Any] = {
    "32 bits": 2**31 - 1,
    "53 bits": 2**53 - 1,
    "10**12": 10**12,
    "64 bits": 2**63 - 1,
    "beyond 64 bits": 2**64,
    "400 digits": 10**400,
    "negative": -(2**63),
    "large": 1e300,
    "tiny": 5e-324,
    "text": "x" * 50_000,
    "dotted": "a." * 20_000 + "a:f",
    "commas": "1," * 100 + "1",
    "lone surrogate": "\ud800",
    "NUL": "a\0b",
    "numbers": list(range(12_000)),
    "texts": [f"v{index}" for index in range(12_000)],
    "words": ["minimize"] * 1000,
    "tables": [{"x": 1}] * 12_000,
    "table": {f"k{index}": index for index in range(12_000)},
    "parameters": {f"k{index}": {"type": "int", "low": 0, "high": 2**53 - 1} for index in range(12_000)},
    "null": None,
    "bool": True,
}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def places() -> Iterator[tuple[str, dict[str, Any], tuple[Any, ...]]]:
    """Yields every place of a spec where a value may stand, with a spec that has the table around it."""
    for section in sections():
        data = tomllib.loads(section.example if section.name == "" else BASE + section.example)
        data["max_steps"] = 27
        path: tuple[Any, ...] = (section.field,) if section.field else ()
        if section.field == "space":
            path += (next(name for name, each in data["space"].items() if each["type"] == section.kind),)
        if section.model is None:
            yield f"{section.name}.x", data, (*path, "x")
            continue
        for key in keys(section.model):
            yield f"{section.name}.{key}", data, (*path, key)
    for name in SAMPLERS:
        for key in allowed_arguments(inspect.signature(sampler_class(name)).parameters):
            data = tomllib.loads(f"{BASE}[sampler]\nname = '{name}'\n[space]\nx = {{type = 'int', low = 0, high = 3}}")
            yield f"sampler.{name}.{key}", data, ("sampler", key)
    grid = tomllib.loads(f"{BASE}[space]\nx = {{ type = 'int', low = 0, high = 3, step = 1 }}")
    for name in ("grid", "brute_force"):
        for key in ("low", "high", "step"):
            yield f"{name} of {key}", {**grid, "sampler": {"name": name}}, ("space", "x", key)
    for key in ("enqueue", "catch", "space"):
        yield f"{key} of one objective", tomllib.loads(BASE), (key,)


PLACES = {name: (data, path) for name, data, path in places()}


def check(data: dict[str, Any]) -> tuple[Spec | None, str]:
    """Returns the spec, or in which words it is refused."""
    try:
        spec = validate(data, "s.toml")
        check_sampler(spec, "s.toml")
        check_pruner(spec, "s.toml")
    except BadInput as error:
        return None, str(error)
    return spec, ""


@pytest.mark.parametrize("place", PLACES)
def test_any_value_anywhere_is_refused_in_a_line_or_starts(place: str) -> None:
    """A hang is ended by the test's own time limit."""
    data, path = PLACES[place]
    for word, value in {**ODD, "nested": nested(500)}.items():
        changed = copy.deepcopy(data)
        table: Any = changed
        for key in path[:-1]:
            table = table.setdefault(key, {}) if isinstance(table, dict) else table[key]
        table[path[-1]] = value
        spec, refused = check(changed)
        assert len(refused) < 1000, (place, word)
        assert refused.isprintable(), (place, word)
        if spec is not None:
            engine = StudyEngine(Snapshot(spec, uid="u", seed=1), at=1.0)
            assert engine.state == "running", (place, word, engine.reason)
            assert len(engine.take().sends) <= 2 * LARGEST_LOOKAHEAD, (place, word)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("lookahead = 2000000000", "lookahead: is 2000000000; it must be at most 1000"),
        ("enqueue = [" + "{ x = 1 }," * 1001 + "]", "enqueue: has 1001 entries; it may have at most 1000"),
        ("directions = [" + "'minimize'," * 11 + "]", "directions: has 11 entries; it may have at most 10"),
        (f"[space.x]\ntype = 'categorical'\nchoices = {list(range(10_001))}", "they may be at most 10000"),
    ],
)
def test_what_is_too_large_is_refused_with_the_largest_that_is_allowed(extra: str, message: str) -> None:
    assert refusal(BASE + extra).endswith(message)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("[sampler]\nn_ei_candidates = 1000000000000", "it must be from 1 to 10000"),
        ("[sampler]\nname = 'nsgaiii'\ndividing_parameter = 1000000", "it must be from 1 to 100"),
        (
            f"directions = {['minimize'] * 10}\n[sampler]\nname = 'nsgaiii'\ndividing_parameter = 50",
            "it must be at most 10",
        ),
        (
            "[sampler]\nname = 'brute_force'\n[space]\nx = { type = 'int', low = 0, high = 1000000 }",
            "makes more than 100000 values of one parameter; use wider steps, or the sampler 'random' or 'tpe'",
        ),
    ],
)
def test_a_samplers_work_is_bounded(extra: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_sampler(made(extra))
    assert str(caught.value).endswith(message)


def test_a_parameter_of_the_objective_is_too_large_for_brute_force() -> None:
    study = optuna.create_study(sampler=build_sampler(made("[sampler]\nname = 'brute_force'"), 1))
    with pytest.raises(ValueError, match="parameter 'x' has more than 100000 values"):
        study.ask().suggest_int("x", 0, 10**15)
    study.ask().suggest_int("y", 1, 100_000)


def test_what_an_earlier_version_stored_is_lowered_or_kept() -> None:
    stored = made().to_json() | {
        "lookahead": 2_000_000_000,
        "enqueue": [{"x": 1}] * 1001,
        "sampler": {"name": "tpe", "n_ei_candidates": 100_000},
    }
    spec = Spec.from_json(stored)
    assert spec.lookahead == LARGEST_LOOKAHEAD
    assert len(spec.enqueue) == 1001
    assert spec.sampler.arguments() == {"n_ei_candidates": LARGEST_CANDIDATES}
    check_sampler(spec)


DEEP = {
    "a key": ".".join("a" * 250_000) + " = 1",
    "a quoted key": ".".join(['"a.b"', "'c'"] * 50_000) + " = 1",
    "blanks": " . ".join("a" * 100_000) + " = 1",
    "a header": "[[" + ".".join("a" * 250_000) + "]]",
    "an inline table": "x = { " + ".".join("a" * 250_000) + " = 1 }",
    "behind a text that does not end": 'x = "' + '\\"' * 100_000 + "\n" + ".".join("a" * 100_000) + "=1",
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_a_key_of_very_many_parts_is_refused_before_it_is_parsed(text: str) -> None:
    assert f"has a key of more than {DEEPEST_KEY} parts; flatten it" in refusal(BASE + text)


def test_a_pruner_on_the_command_line_has_no_such_key_either() -> None:
    with pytest.raises(BadInput, match="--pruner: line 1: has a key of more than 40 parts"):
        read_pruner("patient wrapped." + ".".join("a" * 60_000) + "=1", "--pruner")


def test_dots_that_part_no_keys_are_read() -> None:
    dots = ".".join("a" * 100)
    text = (
        f"# {dots}\n[args]\nplain = '{dots}'\nquoted = \"\\\"{dots}\"\nlines = '''\n{dots}'''\n"
        f'basic = """a"b""c\\"{dots}"""\nfloats = [{", ".join(["0.5"] * 100)}]\n'
    )
    assert parse(BASE + text, "s.toml").args["plain"] == dots
