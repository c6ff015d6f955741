"""Any text, number and value in any column of one study: the study beside it is written, and both can be looked at."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Hashable, Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from leased_store import NOW, LeasedStore, attempt

from orchestrator.common.clock import Clock
from orchestrator.control.commit import Committer, Written
from orchestrator.control.ports import NullNotifier
from orchestrator.doctor.database_probe import read_database
from orchestrator.engine.outputs import Batch
from orchestrator.model.changeset import Changes, CheckpointRow, DecisionRow, NoteRow, TrialEnd
from orchestrator.model.notifications import DeliveryState
from orchestrator.queries.readonly import open_study_reader
from tasks.server_errors import Outages

log = logging.getLogger(__name__)
X = '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}'


def deep(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


TEXTS = st.text(max_size=40) | st.sampled_from(
    [
        "",
        "\0",
        "a\0b",
        "\ud800",
        "caf\udce9.jpg",
        "\x1b[31m\n\r",
        "😀" * 600,
        "x" * 10_000_000,
        "'; DROP TABLE trials; --",
    ]
)
NUMBERS = st.sampled_from(
    [0, -1, True, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 1.5, -0.0, 5e-324, 1e308, math.inf, -math.inf, math.nan]
)
SCALARS = TEXTS | NUMBERS | st.none()
WORST: dict[str, Callable[[], Any]] = {
    "nested 600 deep": lambda: deep(600),
    "nested 100 000 deep": lambda: deep(100_000),
    "a set": lambda: {1, 2},
    "bytes": lambda: b"\xff",
    "an object": object,
    "a key that is a tuple": lambda: {(1, 2): 3},
}
VALUES = st.recursive(
    SCALARS | st.sampled_from(sorted(WORST)).map(lambda name: WORST[name]()),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(SCALARS, inner, max_size=2),
    max_leaves=4,
)


def of_attempt(name: str) -> Callable[[Any], Changes]:
    def changes(value: Any) -> Changes:
        row = attempt(0)
        setattr(row, name, value)
        return Changes(attempts={row.token: row})

    return changes


def of_row(make: Callable[[Any], Changes], row: Any, name: str) -> Callable[[Any], Changes]:
    return lambda value: make(row._replace(**{name: value}))


def key(value: Any) -> Any:
    return value if isinstance(value, Hashable) else "key"


DECISION = DecisionRow(0, "shadow", "median", 1, 0.5, 0.25, 3, NOW)
CHECKPOINT = CheckpointRow(0, 1, "uid/0/1.pt", "d" * 64, 1, NOW)
NOTE = NoteRow("uid:best:0", "best", "post", "{}", NOW)
PLACES: dict[str, Callable[[Any], Changes]] = {
    "user attribute": lambda value: Changes(user_attrs={(0, "key"): value}),
    "user attribute's key": lambda value: Changes(user_attrs={(0, key(value)): 1}),
    "system attribute": lambda value: Changes(system_attrs={(0, "key"): value}),
    "record": lambda value: Changes(records={(0, "key"): value}),
    "study's user attribute": lambda value: Changes(study_user_attrs={"key": value}),
    "study's system attribute": lambda value: Changes(study_system_attrs={"key": value}),
    "study attribute's key": lambda value: Changes(study_user_attrs={key(value): 1}),
    "parameter": lambda value: Changes(params=[(0, "y", value, X)]),
    "parameter's name": lambda value: Changes(params=[(0, value, 0.5, X)]),
    "distribution": lambda value: Changes(params=[(0, "y", 0.5, value)]),
    "step": lambda value: Changes(values=[(0, value, 0.5)]),
    "reported value": lambda value: Changes(values=[(0, 7, value)]),
    "final value": lambda value: Changes(ends={0: TrialEnd("COMPLETE", (value,), NOW)}),
    "time": lambda value: Changes(ends={0: TrialEnd("COMPLETE", (0.5,), value)}),
    "start": lambda value: Changes(starts={0: value}),
    "new trial": lambda value: Changes(new_trials={1: value}),
    "epoch that was trained again": lambda value: Changes(redone=[(0, 0, value)]),
    "reason": lambda value: Changes(study_state=("running", value, NOW)),
    **{f"attempt's {each.name}": of_attempt(each.name) for each in fields(attempt(0)) if each.name != "token"},
    **{
        f"decision's {each}": of_row(lambda row: Changes(decisions=[row]), DECISION, each)
        for each in DecisionRow._fields
    },
    **{
        f"closest's {each}": of_row(lambda row: Changes(closest={0: row}), DECISION, each)
        for each in DecisionRow._fields
    },
    **{
        f"checkpoint's {each}": of_row(lambda row: Changes(checkpoints=[row]), CHECKPOINT, each)
        for each in CheckpointRow._fields
    },
    **{f"note's {each}": of_row(lambda row: Changes(notes=[row]), NOTE, each) for each in NoteRow._fields},
}


class Settled(NullNotifier):
    """A notifier that says of a note what it is told to say."""

    def __init__(self) -> None:
        self.settled: dict[str, DeliveryState] = {}

    def take_settled(self) -> dict[str, DeliveryState]:
        settled, self.settled = self.settled, {}
        return settled


class Pair:
    """Two studies that are written in one transaction; the bad one is another each time."""

    def __init__(self, leased: LeasedStore) -> None:
        self.leased = leased
        self.notifier = Settled()
        self.committer = Committer(leased.store, self.notifier, Outages(log).database, Clock(), 1e9)
        self.count = 0
        self._create("good")

    def _create(self, name: str) -> None:
        self.leased.create(name=name)
        row = attempt(0, token=name)
        self.leased.commit(Changes(new_trials={0: NOW}, attempts={name: row}), name)

    def write(self, changes: Changes) -> Written:
        """Writes changes of a fresh study beside others of the good one; returns what has become of both."""
        self.count += 1
        name = f"bad-{self.count}"
        self._create(name)
        if changes.attempts:
            (row,) = changes.attempts.values()
            changes.attempts = {name: replace(row, token=name)}
        good = Changes(values=[(0, self.count, 0.125)], study_user_attrs={"count": self.count})
        written = self.committer.commit({name: Batch(changes), "good": Batch(good)}, {})
        assert set(written.refused) <= {name}, written.refused
        return written

    def look(self) -> None:
        """Every command can read, whatever was written."""
        steps = self.leased.load("good").trials[0].intermediate_values
        assert list(steps.values()) == [0.125] * self.count
        with open_study_reader(self.leased.url) as history:
            assert len(history.overviews()) == self.count + 1
        assert read_database(self.leased.url).books is not None


@pytest.fixture
def pair(leased: LeasedStore) -> Iterator[Pair]:
    return Pair(leased)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(place=st.sampled_from(sorted(PLACES)), value=VALUES)
def test_what_cannot_be_written_costs_its_own_study_alone(pair: Pair, place: str, value: Any) -> None:
    pair.write(PLACES[place](value))
    pair.look()


def test_of_what_has_become_of_notes_only_what_cannot_be_written_is_dropped(pair: Pair) -> None:
    pair.notifier.settled = {
        "bad": DeliveryState("failed", 10**30, "HTTP 500", NOW),
        "good": DeliveryState("delivered", 1, "HTTP 204", NOW),
    }
    assert set(pair.write(Changes()).settled) == {"good"}
    pair.look()


def test_each_place_refuses_or_takes_the_worst_there_is(pair: Pair) -> None:
    """Not left to chance: what no database takes, in every place, once."""
    refused = [place for place in sorted(PLACES) if pair.write(PLACES[place](object())).refused]
    assert len(refused) > len(PLACES) / 2
    pair.look()


def test_no_trial_ends_with_nan(pair: Pair) -> None:
    """Optuna has no word for it among final values, and could not read the study any more."""
    assert set(pair.write(PLACES["final value"](math.nan)).refused) == {"bad-1"}
    pair.look()
