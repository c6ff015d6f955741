"""What is nearly a message: refused with one exception, and told whose it is; what came later is no fault."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest

from tasks.codec import Malformed, decode_event, encode, is_location, job_from_payload, job_to_payload, salvage
from tasks.contract import VERSION, Attribute, Checkpoint, CheckpointRef, Epoch, Event, Job, Unreadable
from tasks.limits import MAX_EVENT_BYTES

EVENT = {"token": "t", "runner": "r", "seq": 1, "body": {"type": "epoch", "step": 1, "value": 0.5}, "version": VERSION}
JOB = Job(study="s", uid="u", trial=0, token="t", attempt=1, objective="m:f", directions=("minimize",))
LONG, NUL = "x" * 600, "a\x00b"
REF = {"step": 1, "location": "u/00000/t-1.pt", "digest": "0f", "size": 7}


def event(**changes: Any) -> bytes:
    return msgspec.msgpack.encode(EVENT | changes)


def body(**changes: Any) -> bytes:
    return event(body={"type": "epoch", "step": 1, "value": 0.5} | changes)


def test_the_event_that_the_cases_below_break_is_one() -> None:
    assert decode_event(event()).body == Epoch(step=1, value=0.5)
    assert decode_event(body(value=1)).body == Epoch(step=1, value=1.0), "an integer is a number"


@pytest.mark.parametrize(
    "data",
    [
        event(body=None),
        body(type="epochs"),
        body(step=-1),
        body(value="x"),
        event(body={"type": "epoch"}),
    ],
)
def test_what_can_be_told_of_a_broken_event_is_whose_it_is(data: bytes) -> None:
    found = salvage(data, "why")
    assert found == Event(token="t", runner="r", seq=1, body=Unreadable(reason="why"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1" * 100,
        event(version=VERSION + 1, body=None),
        event(version=VERSION - 2, body=None),
        event(seq=0, body=None),
        event(seq=2**63, body=None),
        event(token=7, body=None),
        event(runner="r" * 65, body=None),
        msgspec.msgpack.encode({"token": "t"}),
    ],
)
def test_of_what_nothing_can_be_told_nothing_is(data: bytes) -> None:
    assert salvage(data, "why") is None


@pytest.mark.parametrize("key", ["token", "runner", "seq", "body"])
def test_a_missing_field_is_malformed(key: str) -> None:
    with pytest.raises(Malformed):
        decode_event(msgspec.msgpack.encode({name: each for name, each in EVENT.items() if name != key}))


@pytest.mark.parametrize(
    "data",
    [
        event(version=VERSION + 1),
        event(version=VERSION - 2),
        event(seq=-1),
        event(seq=2**63),
        event(seq=1.5),
        event(seq="1"),
        event(seq=True),
        event(token=None),
        event(token=7),
        event(token=b"t"),
        event(body=None),
        event(body=[]),
        event(body={"step": 1, "value": 0.5}),
        body(type="epochs"),
        body(step=-1),
        body(step=2**31),
        body(step=2**63),
        body(step=1.5),
        body(step="3"),
        body(step=True),
        body(step=None),
        body(value="0.5"),
        body(value=None),
        body(value=True),
        body(value=[]),
        body(value=msgspec.msgpack.Ext(1, b"x")),
        event(body={"type": "paused", "step": -1}),
        event(body={"type": "paused", "step": 2**31}),
        event(body={"type": "paused"}),
        event(body={"type": "started", "host": "h", "pid": 1, "slot": "s", "resume_step": -1}),
        event(body={"type": "started", "host": "h", "pid": 1, "slot": "s", "resume_step": 2**31}),
        event(body={"type": "checkpoint"}),
        event(body={"type": "checkpoint", "ref": None}),
    ],
)
def test_values_of_the_wrong_kind_or_out_of_bounds_are_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode_event(data)


def test_the_checkpoint_that_the_cases_below_break_is_one() -> None:
    ref = CheckpointRef(step=1, location="u/00000/t-1.pt", digest="0f", size=7)
    assert decode_event(event(body={"type": "checkpoint", "ref": REF})).body == Checkpoint(ref=ref)
    assert job_from_payload(job_to_payload(JOB) | {"checkpoints": [REF]}).checkpoints == (ref,)


@pytest.mark.parametrize("name", ["..", "../x", "/etc/passwd", "a/../../b", "a/..", NUL, LONG])
def test_a_file_of_a_trial_cannot_be_called_what_leads_elsewhere(name: str) -> None:
    ref = {"id": "t-1", "filename": "plots/a..b.png", "mimetype": "image/png"}
    decode_event(event(body={"type": "artifact", "ref": ref}))
    with pytest.raises(Malformed):
        decode_event(event(body={"type": "artifact", "ref": ref | {"filename": name}}))


BAD_REFS: list[dict[str, Any]] = [
    {"step": -1},
    {"step": 2**31},
    {"size": -1},
    {"size": 2**63},
    {"digest": "0" * 129},
    {"digest": NUL},
    *(
        {"location": location}
        for location in (
            *("", ".", "..", "/", "/x", "x/", "x//y", "x/../y", "../x", "./x", "x/.", "~/x y"),
            *("a\\b", "C:/x", "s3://bucket/x", "x\n", NUL, "é", "x" * 513),
        )
    ),
]


@pytest.mark.parametrize("change", BAD_REFS)
def test_a_checkpoint_that_might_be_elsewhere_or_cannot_be_stored_is_malformed(change: dict[str, Any]) -> None:
    """The next attempt of the trial opens it, and the control plane deletes it."""
    with pytest.raises(Malformed):
        decode_event(event(body={"type": "checkpoint", "ref": REF | change}))
    with pytest.raises(Malformed):
        job_from_payload(job_to_payload(JOB) | {"checkpoints": [REF | change]})


@pytest.mark.parametrize("location", ["x", "...", "a.b/c-d/_", "a/..b", "x" * 512])
def test_what_looks_nearly_like_it_is_a_location(location: str) -> None:
    assert is_location(location)


@pytest.mark.parametrize(
    "data",
    [
        event(token=LONG),
        event(runner=LONG),
        event(runner=NUL),
        *(event(body={"type": "suggest", "name": name, "distribution": "{}"}) for name in (LONG, NUL)),
        *(event(body={"type": "attr", "key": key, "value": "1"}) for key in (LONG, NUL)),
        event(body={"type": "attr", "key": "x" * 505, "value": "1", "kind": "constraint"}),
        *(
            event(body={"type": "started", "host": "h", "pid": 1, "slot": "s"} | change)
            for change in ({"host": NUL}, {"slot": NUL}, {"device": NUL}, {"pid": 2**63})
        ),
        event(body={"type": "failed", "cause": "exception", "error": NUL, "message": ""}),
    ],
)
def test_what_no_database_column_can_hold_is_malformed(data: bytes) -> None:
    """It would fail the transaction of a whole batch, and again after every restart."""
    with pytest.raises(Malformed):
        decode_event(data)


def test_unknown_fields_of_a_later_minor_version_are_ignored() -> None:
    assert decode_event(event(colour="blue")) == decode_event(event())
    assert decode_event(body(loss=3)) == decode_event(event())
    payload = job_to_payload(JOB) | {"colour": "blue"}
    assert job_from_payload(payload) == JOB


def test_a_field_that_came_later_has_its_default() -> None:
    old = {name: each for name, each in EVENT.items() if name != "version"}
    assert decode_event(msgspec.msgpack.encode(old)) == decode_event(event())


def test_the_largest_event_and_one_byte_more() -> None:
    room = MAX_EVENT_BYTES - len(
        encode(Event(token="t", runner="r", seq=1, body=Attribute(key="k", value="x" * 70_000)))
    )
    fits = encode(Event(token="t", runner="r", seq=1, body=Attribute(key="k", value="x" * (70_000 + room))))
    assert len(fits) == MAX_EVENT_BYTES
    decode_event(fits)
    with pytest.raises(Malformed, match="the limit is"):
        decode_event(encode(Event(token="t", runner="r", seq=1, body=Attribute(key="k", value="x" * (70_001 + room)))))


@pytest.mark.parametrize(
    "payload",
    [
        None,
        "",
        [],
        {},
        7,
        b"x",
        job_to_payload(JOB) | {"version": VERSION + 1},
        job_to_payload(JOB) | {"trial": "0"},
        job_to_payload(JOB) | {"directions": "minimize"},
        job_to_payload(JOB) | {"args": []},
        job_to_payload(JOB) | {"params": {"x": 1.0}},
        *({key: each for key, each in job_to_payload(JOB).items() if key != gone} for gone in ("token", "uid")),
        job_to_payload(JOB) | {"version": VERSION - 2},
        *(
            job_to_payload(JOB) | {"study": name}
            for name in ("", ".", "..", "a/b", "../a", "/a", "a..b", NUL, "😀", LONG)
        ),
        *(job_to_payload(JOB) | {"uid": uid} for uid in ("", "..", "a/b", "../a", NUL, LONG)),
        *(job_to_payload(JOB) | {"token": token} for token in ("", "..", "a/b", NUL)),
        job_to_payload(JOB) | {"slice": {"until_step": 3}},
    ],
)
def test_a_task_argument_that_is_no_job_is_malformed(payload: object) -> None:
    with pytest.raises(Malformed):
        job_from_payload(payload)


def test_an_argument_nested_beyond_all_depth_is_malformed() -> None:
    nested: Any = {}
    for _ in range(100_000):
        nested = {"x": nested}
    with contextlib.suppress(Malformed):
        job_from_payload(job_to_payload(JOB) | {"args": nested})
    while nested:  # freed from the outside: the interpreter's own way recurses
        nested = nested["x"]
