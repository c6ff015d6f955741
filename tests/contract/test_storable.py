"""What can be stored is taken and comes back as it was, on the wire and from both databases; the rest is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Engine, MetaData, String, Table, Text, create_engine, delete, insert, select

from orchestrator.model.attribute_keys import AUDITED, RETRY_OF, SHADOW
from tasks.codec import decode_event, decode_reply, decode_to_trainer, encode, job_from_payload, job_to_payload
from tasks.contract import Attribute, Event, Job, Reply, StudyView, TrialView
from tasks.storable import (
    MAX_ATTRIBUTES,
    MAX_DEPTH,
    MAX_VALUE,
    RESERVED,
    AttributeBudget,
    NotStorable,
    as_json,
    check_name,
)
from tasks.trainer_messages import TrainJob

ANY_TEXT = st.text(st.characters(codec=None), max_size=30) | st.sampled_from(
    ["\ud800", "\0", "a\nb", "\u2028", "😀", ""]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats()
    | ANY_TEXT
    | st.sampled_from([2**63, 2**64, -(2**64), 10**400, b"bytes", {1, 2}, object()])
)
VALUES = st.recursive(SCALARS, lambda part: st.lists(part, max_size=3) | st.dictionaries(ANY_TEXT, part, max_size=3))
metadata = MetaData()
TABLE = Table("kept", metadata, Column("key", String(512)), Column("value_json", Text))


@pytest.fixture(scope="module")
def sqlite() -> Iterator[Engine]:
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    yield engine
    engine.dispose()


def same(one: Any, other: Any) -> bool:
    """Whether both are equal as JSON, a NaN to itself."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def kept_by(engine: Engine, key: str, text: str) -> tuple[str, str]:
    with engine.begin() as connection:
        connection.execute(delete(TABLE))
        connection.execute(insert(TABLE).values(key=key, value_json=text))
        row = connection.execute(select(TABLE)).one()
    return row.key, row.value_json


def passes_everywhere(key: str, text: str, *engines: Engine) -> None:
    value = json.loads(text)
    event = Event(token="t", runner="r", seq=1, body=Attribute(key=key, value=text))
    assert decode_event(encode(event)) == event
    job = Job(
        study="s",
        uid="u",
        trial=0,
        token="t",
        attempt=2,
        objective="m:f",
        directions=("minimize",),
        user_attrs={key: value},
    )
    # By Celery as JSON, and from keeper to trainer.
    sent = job_from_payload(json.loads(json.dumps(job_to_payload(job)).encode()))
    run = decode_to_trainer(encode(TrainJob(job=sent, log="", scratch="")))
    assert isinstance(run, TrainJob)
    assert same(run.job.user_attrs, {key: value})
    trial = TrialView("RUNNING", None, {}, {key: value}, {}, {}, None, None, {key: value})
    shown = decode_reply(encode(Reply(runner="r", seq=1, name="", study=StudyView(trials=(trial,))))).study
    assert shown is not None
    assert same([shown.trials[0].user_attrs, shown.trials[0].system_attrs], [{key: value}] * 2)
    for engine in engines:
        assert kept_by(engine, key, text) == (key, text)


def taken(key: str, value: Any) -> str | None:
    """The value as JSON, ``None`` where it is refused: in one line."""
    try:
        return as_json("here", check_name("here", key), value)
    except (TypeError, ValueError) as error:
        check_line(str(error))
        return None


def check_line(words: str) -> None:
    assert "\n" not in words
    words.encode()


@given(ANY_TEXT, VALUES)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_taken_comes_back(sqlite: Engine, key: str, value: Any) -> None:
    if (text := taken(key, value)) is not None:
        passes_everywhere(key, text, sqlite)


EDGES: list[Any] = [
    2**63,
    2**64,
    -(2**200),
    10**4_000,
    math.nan,
    -math.inf,
    "a\0b",
    "😀" * 1_000,
    {"\0": "\0", "": {"a": [2**70, None]}},
    json.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH),
    "x" * (MAX_VALUE - 2),
]


@pytest.mark.parametrize("value", EDGES, ids=lambda value: repr(value)[:20])
def test_the_edges_come_back(postgresql: str, sqlite: Engine, value: Any) -> None:
    text = taken("k" * 512, value)
    assert text is not None
    engine = create_engine(postgresql)
    metadata.create_all(engine)
    passes_everywhere("k" * 512, text, sqlite, engine)
    passes_everywhere("ü😀 \xa0", text, sqlite, engine)
    engine.dispose()


@pytest.mark.parametrize(
    "value",
    ["\ud800", ["a", {"b": "\udce9"}], {"\udce9": 1}, "x" * MAX_VALUE, json.loads("[" * 101 + "]" * 101), {1}, b"", 1j],
    ids=lambda value: repr(value)[:20],
)
def test_the_rest_is_refused(value: Any) -> None:
    assert taken("key", value) is None


def test_brackets_in_a_text_are_no_depth() -> None:
    assert as_json("here", "key", "[" * 1_000 + '"{\\') is not None
    with pytest.raises(NotStorable, match="nested deeper than 100"):
        as_json("here", "key", deep(5_000))


def deep(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": [value]}
    return value


@pytest.mark.parametrize("key", ["\0", "a\nb", "\x85", "\u2029", "\udce9", "k" * 513, "x" * 10_000_000, 5, None, b"k"])
def test_a_name_that_cannot_be_stored_is_refused(key: Any) -> None:
    with pytest.raises((NotStorable, TypeError), match=r"^here: the name .{5,200}$"):
        check_name("here", key)


def test_all_of_a_trials_attributes_have_a_limit() -> None:
    room = AttributeBudget("the trial", {"there": "x" * 1_000}, {})
    large = '"' + "v" * 1_000_000 + '"'
    for part in range(16):
        room.take("here", 0, f"part-{part}", large)
    with pytest.raises(NotStorable, match=rf"'part-16' the attributes of the trial .* {MAX_ATTRIBUTES} .*artifact_dir"):
        room.take("here", 0, "part-16", large)
    room.take("here", 0, "part-3", '"small"')
    room.take("here", 0, "part-16", large)


def test_what_others_have_stored_is_shown_all_the_same() -> None:
    """A notebook may set what is refused here; a process that looks at the study must see it, and not end for it."""
    attrs = {"file": "photo-caf\udce9.jpg", "n": [2**70, {"deep": deep(200)}]}
    trial = TrialView("RUNNING", None, {}, attrs, {}, {1: 0.5}, None, None, attrs)
    reply = Reply(runner="r", seq=1, name="", study=StudyView(trials=(trial,)))
    assert decode_reply(encode(reply)) == reply


def test_the_names_that_are_reserved_are_those_of_the_control_plane() -> None:
    assert {AUDITED, RETRY_OF, SHADOW} == RESERVED
