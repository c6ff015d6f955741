"""The wire: what goes in comes out, and what is no message is refused with one exception."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import contract
from tasks.codec import (
    Malformed,
    decode_confirmation,
    decode_event,
    decode_from_trainer,
    decode_reply,
    decode_to_trainer,
    encode,
    is_location,
    job_from_payload,
    job_to_payload,
    salvage,
)
from tasks.contract import (
    MAX_EVENT_BYTES,
    VERSION,
    Alive,
    Attribute,
    Checkpoint,
    CheckpointRef,
    Confirmation,
    Epoch,
    Event,
    Failed,
    Finished,
    Job,
    Parameter,
    Paused,
    Released,
    Reply,
    Revoked,
    Slice,
    Started,
    Stopped,
    StudyStop,
    Suggest,
    Unreadable,
)
from tasks.frames import Left, Preloaded, Ready, Run, Saved, Stop, Suggested

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
NUMBERS = st.floats() | st.sampled_from([-0.0, 1e308, math.inf, -math.inf, math.nan])
STEPS = st.integers(0, 2**31 - 1)
EPOCHS = st.builds(Epoch, step=STEPS, value=NUMBERS)
PARTS = st.text("abcXYZ019_-", min_size=1, max_size=12)
CHECKPOINTS = st.builds(
    CheckpointRef,
    step=STEPS,
    location=st.lists(PARTS | PARTS.map(lambda part: f"{part}.pt"), min_size=1, max_size=3).map("/".join),
    digest=st.text("0123456789abcdef", max_size=128),
    size=st.integers(0, 2**63 - 1),
)
FROM_TRAINER = (
    EPOCHS
    | st.builds(Suggest, name=TEXT, distribution=TEXT, used=st.booleans())
    | st.builds(Attribute, key=TEXT, value=TEXT, kind=st.sampled_from(["user", "constraint"]))
    | st.builds(Finished, values=st.lists(NUMBERS, max_size=3).map(tuple), pruned=st.booleans())
    | st.builds(
        Failed, cause=st.sampled_from(["exception", "value", "import", "died", "checkpoint"]), error=TEXT, message=TEXT
    )
    | st.builds(StudyStop)
    | st.builds(Paused, step=STEPS)
)
BODIES = (
    FROM_TRAINER
    | st.builds(
        Started,
        host=TEXT,
        pid=st.integers(0, 2**31),
        slot=TEXT,
        gap=st.none() | NUMBERS,
        resume_step=st.none() | STEPS,
    )
    | st.builds(Checkpoint, ref=CHECKPOINTS)
    | st.builds(Stopped, latency=st.none() | NUMBERS, killed=st.booleans())
    | st.builds(Released)
    | st.builds(Revoked, running=st.booleans())
    | st.builds(Alive, host=TEXT, slot=TEXT, busy=st.booleans(), queues=st.lists(TEXT, max_size=3).map(tuple))
)
TOKENS = st.uuids().map(str)
EVENTS = st.builds(Event, token=TOKENS, runner=TOKENS, seq=st.integers(0, 2**31), body=BODIES)
PARAMETERS = st.dictionaries(
    TEXT, st.builds(Parameter, value=st.floats(allow_nan=False), distribution=TEXT), max_size=3
)
JOBS = st.builds(
    Job,
    study=PARTS.filter(lambda name: name[0].isalnum()),
    uid=TOKENS,
    trial=st.integers(0, 2**31),
    token=TOKENS,
    attempt=st.integers(1, 9),
    objective=TEXT,
    directions=st.lists(st.sampled_from(["minimize", "maximize"]), min_size=1).map(tuple),
    args=st.dictionaries(TEXT, st.integers(-(2**53), 2**53) | TEXT | st.booleans() | st.none(), max_size=3),
    params=PARAMETERS,
    ahead=PARAMETERS,
    max_steps=st.none() | STEPS,
    checkpoints=st.lists(CHECKPOINTS, max_size=3).map(tuple),
    slice=st.none() | st.builds(Slice, until_step=STEPS, checkpoint_by=STEPS, restart=st.booleans()),
)
EVENT = {"token": "t", "runner": "r", "seq": 1, "body": {"type": "epoch", "step": 1, "value": 0.5}, "version": VERSION}
DECODERS = [decode_event, decode_confirmation, decode_reply, decode_to_trainer, decode_from_trainer]


@given(EVENTS)
def test_events_come_out_as_they_went_in(event: Event) -> None:
    assert repr(decode_event(encode(event))) == repr(event)


@given(EPOCHS)
def test_no_value_changes_its_bits(body: Epoch) -> None:
    out = decode_event(encode(Event(token="t", runner="r", seq=1, body=body))).body
    assert isinstance(out, Epoch)
    assert (repr(out.value), math.copysign(1, out.value)) == (repr(body.value), math.copysign(1, body.value))


@given(JOBS)
def test_a_job_survives_json_as_celery_makes_it(job: Job) -> None:
    assert job_from_payload(json.loads(json.dumps(job_to_payload(job)))) == job


@given(
    FROM_TRAINER
    | st.builds(Ready, healthy=st.booleans(), why=TEXT)
    | st.builds(Left, token=TEXT)
    | st.builds(Preloaded, objective=TEXT)
    | st.builds(Saved, step=STEPS, file=TEXT, digest=TEXT, size=st.integers(0, 2**63 - 1))
)
def test_what_a_trainer_says_arrives(message: msgspec.Struct) -> None:
    assert repr(decode_from_trainer(encode(message))) == repr(message)


@given(
    st.builds(Run, job=JOBS, log=TEXT, scratch=TEXT, checkpoints=st.lists(TEXT, max_size=2).map(tuple))
    | st.builds(Stop, token=TEXT)
    | st.builds(Suggested, name=TEXT, value=NUMBERS)
)
def test_what_a_keeper_says_arrives(message: msgspec.Struct) -> None:
    assert repr(decode_to_trainer(encode(message))) == repr(message)


@given(st.builds(Reply, runner=TEXT, seq=STEPS, name=TEXT, value=NUMBERS, error=TEXT))
def test_replies_arrive(reply: Reply) -> None:
    assert repr(decode_reply(encode(reply))) == repr(reply)


@given(
    st.builds(
        Confirmation,
        runner=TEXT,
        seq=STEPS,
        verdict=st.none() | st.builds(contract.Verdict, cause=TEXT, step=st.none() | STEPS),
    )
)
def test_confirmations_arrive(confirmation: Confirmation) -> None:
    assert decode_confirmation(encode(confirmation)) == confirmation


@pytest.mark.parametrize("decode", DECODERS)
@given(data=st.binary(max_size=200))
def test_noise_is_malformed_and_nothing_worse(decode: Any, data: bytes) -> None:
    with contextlib.suppress(Malformed):
        decode(data)


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x91" * 100_000,
        b"\x81\xa1a" * 50_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xffx",
        b"\xa2\xff\xfe",
        b"\x81\xa5token\xa1\xff",
        b"\x00" * 10_000_000,
    ],
)
def test_broken_bytes_are_malformed(decode: Any, data: bytes) -> None:
    with pytest.raises(Malformed):
        decode(data)


@settings(max_examples=30)
@given(EVENTS, st.data())
def test_an_event_cut_off_anywhere_is_malformed(event: Event, data: st.DataObject) -> None:
    whole = encode(event)
    with pytest.raises(Malformed):
        decode_event(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(EVENTS, st.data())
def test_an_event_with_a_flipped_byte_is_an_event_or_malformed(event: Event, data: st.DataObject) -> None:
    whole = bytearray(encode(event))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = decode_event(bytes(whole))
    except Malformed:
        return
    assert isinstance(found, Event)


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


LONG, NUL = "x" * 600, "a\x00b"
REF = {"step": 1, "location": "u/00000/t-1.pt", "digest": "0f", "size": 7}


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
    """It is opened by whoever goes on with the trial, and deleted by the control plane."""
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


JOB = Job(study="s", uid="u", trial=0, token="t", attempt=1, objective="m:f", directions=("minimize",))


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
