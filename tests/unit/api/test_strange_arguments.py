"""Every public function is handed values of every wrong kind: one line names the argument, and nothing is changed."""

from __future__ import annotations

import asyncio
import datetime
import inspect
import math
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from orchestrator import BadInput, Fleet, Search, StudyHandle, connect
from orchestrator.api import arguments
from orchestrator.common.faults import Fault
from tests import prepared_databases
from tests.api_reference import members

OBJECTIVE = "tasks.objectives.digits:objective"


class Raises:
    """An object whose every method raises."""

    def _raise(self, *_: object) -> Any:
        raise ZeroDivisionError("no good")

    __str__ = __repr__ = __eq__ = __hash__ = __bool__ = __len__ = __iter__ = __index__ = __float__ = __fspath__ = _raise
    __call__ = __getitem__ = __array__ = _raise


class Text(str):
    """A string whose methods raise."""

    def __repr__(self) -> str:
        raise ZeroDivisionError("no good")

    __str__ = __hash__ = __repr__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError("no good")


async def coroutine() -> None:
    """Never runs."""


def strange() -> dict[str, Any]:
    """Returns a value of each kind; those that hold a state are made anew."""
    made = coroutine()
    made.close()
    return {
        "none": None,
        "text": "x",
        "empty": "",
        "nul": "a\0b",
        "surrogate": "\ud800",
        "long": "x" * 5_000,
        "bytes": b"x",
        "negative": -1,
        "huge": 10**400,
        "float": 1.5,
        "nan": math.nan,
        "numpy": np.float32("nan"),
        "array": np.zeros((2, 2)),
        "true": True,
        "decimal": Decimal("NaN"),
        "complex": 1j,
        "datetime": datetime.datetime(2026, 1, 1),  # noqa: DTZ001
        "aware": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        "delta": datetime.timedelta(seconds=1),
        "list": [1],
        "dict": {"a": 1},
        "set": {1},
        "generator": (each for each in [1]),
        "coroutine": made,
        "class": int,
        "function": len,
        "module": math,
        "path": Path("/no/such/folder\0"),
        "raises": Raises(),
        "text that raises": Text("x"),
    }


def right(name: str, parameter: inspect.Parameter) -> Any:
    """Returns a right value of a required parameter."""
    known = {"trial": 0, "params": {"x": 1.0}, "output": "out.csv", "worker": "w", "name": "one", "folder": "none"}
    return ("a", "b") if parameter.kind is parameter.VAR_POSITIONAL else known[name]


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    monkeypatch.chdir(tmp_path)
    url = prepared_databases.sqlite(tmp_path / "studies.db")
    storage = optuna.storages.RDBStorage(url)
    optuna.create_study(study_name="one", storage=storage)
    storage.remove_session()
    storage.engine.dispose()
    with connect(storage_url=url, data_dir=tmp_path / "data") as found:
        yield found


def refused(call: Callable[[], object]) -> str | None:
    """Returns the line by which a call is refused; ``None`` where it is not."""
    try:
        call()
    except BadInput as error:
        line = str(error)
    else:
        return None
    assert "\n" not in line
    assert len(line) < 400
    return line


FUNCTIONS = [
    (owner.__name__, name, parameter)
    for owner in (Search, Fleet, StudyHandle)
    for name, member in members(owner)
    if not isinstance(member, property)
    for parameter in inspect.signature(member).parameters
    if parameter != "self"
] + [("", "connect", parameter) for parameter in inspect.signature(connect).parameters]


@pytest.mark.parametrize(("owner", "name", "parameter"), FUNCTIONS)
def test_a_wrong_value_is_refused_in_a_line_that_names_the_argument(owner: str, name: str, parameter: str) -> None:
    """What the function does is never reached: each has its checks in front."""
    cls = {"Search": Search, "Fleet": Fleet, "StudyHandle": StudyHandle, "": None}[owner]
    function: Any = connect if cls is None else inspect.getattr_static(cls, name)
    function = getattr(function, "__func__", function)
    checks = inspect.getclosurevars(function).nonlocals.get("checks", {})
    assert parameter in checks, f"{owner}.{name}: nothing checks '{parameter}'"
    count = 0
    for kind, value in strange().items():
        given = (
            (value,)
            if inspect.signature(function).parameters[parameter].kind is inspect.Parameter.VAR_POSITIONAL
            else value
        )
        refusal = refused(lambda given=given: arguments.checked_value(f"{name}: {parameter}", checks[parameter], given))  # type: ignore[misc]
        if refusal is not None:
            count += 1
            assert refusal.startswith(f"{name}: {parameter}: "), kind
            assert "; " in refusal, kind
    assert count >= 10


def test_nothing_is_done_before_the_arguments_are_right(fleet: Fleet, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    handle = fleet["one"]
    for call in (
        lambda: Search(OBJECTIVE, name="one", trials=1).submit("redis://x"),  # type: ignore[arg-type]
        lambda: Search.init(5),  # type: ignore[arg-type]
        lambda: handle.wait("x"),  # type: ignore[arg-type]
        lambda: handle.logs(0, lines="a"),  # type: ignore[arg-type]
        lambda: handle.replay(3),  # type: ignore[arg-type]
        lambda: handle.export(b"x"),  # type: ignore[arg-type]
        lambda: fleet.schedules(last=-1),
    ):
        with pytest.raises(BadInput):
            call()
    assert sorted(tmp_path.rglob("*")) == before


def test_no_study_has_a_strange_name(fleet: Fleet) -> None:
    for kind, name in strange().items():
        assert fleet.get(name) is None, kind
        assert refused(lambda name=name: fleet[name]), kind  # type: ignore[misc]
        assert refused(lambda name=name: StudyHandle(fleet, name).state), kind  # type: ignore[misc]


@pytest.mark.parametrize("key", [each for each in inspect.signature(Search).parameters if each != "unknown"])
def test_a_search_takes_a_value_or_refuses_it_in_one_line(key: str) -> None:
    for kind, value in strange().items():
        given = {"objective": OBJECTIVE, "name": "one", "trials": 3, key: value}
        refusal = refused(lambda given=given: Search(**given))  # type: ignore[misc]
        assert refusal is None or re.match(r"Search: \w+|objective ", refusal), (kind, refusal)


def test_a_configuration_takes_a_value_or_refuses_it_in_one_line(fleet: Fleet) -> None:
    for kind, value in strange().items():
        for params in (value, {"x": value}):
            assert refused(lambda params=params: fleet["one"].enqueue(params)), kind  # type: ignore[misc]


@pytest.mark.parametrize(
    ("check", "value", "taken"),
    [
        (arguments.whole(1), np.int64(3), 3),
        (arguments.seconds, np.float32(0.5), 0.5),
        (arguments.seconds, Decimal("0.5"), 0.5),
        (arguments.seconds, math.inf, math.inf),
        (arguments.flag, np.True_, True),
        (arguments.text, Text("x"), "x"),
        (arguments.trial, np.int8(3), 3),
        (arguments.trial, "best", "best"),
        (arguments.path, Path("a"), Path("a")),
        (arguments.words, "complete", ["complete"]),
        (arguments.words, ("complete", "pruned"), ["complete", "pruned"]),
    ],
)
def test_values_of_other_libraries_are_taken_as_pythons_own(check: Any, value: Any, taken: Any) -> None:
    found = check(value)
    assert (type(found), found) == (type(taken), taken)


def test_a_wrong_keyword_is_pythons_own_error(fleet: Fleet) -> None:
    with pytest.raises(TypeError, match="line"):
        fleet["one"].logs(0, line=3)  # type: ignore[call-arg]


def test_a_check_names_what_would_be_right() -> None:
    with pytest.raises(Fault) as caught:
        arguments.trial(None)
    assert caught.value.remedy == "it must be the number of a trial, 'best' or 'last'"
    assert asyncio.iscoroutinefunction(coroutine)
