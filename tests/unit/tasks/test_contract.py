"""The wire: what goes in comes out, and noise is refused with one exception."""

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
    job_from_payload,
    job_to_payload,
)
from tasks.contract import (
    Attribute,
    Checkpoint,
    CheckpointRef,
    Confirmation,
    Epoch,
    Event,
    Failed,
    Finished,
    Heartbeat,
    Job,
    Parameter,
    Paused,
    ReadStudy,
    Released,
    Reply,
    Revoked,
    Slice,
    Started,
    Stopped,
    StudyStop,
    Suggest,
)
from tasks.trainer_messages import (
    CheckpointSaved,
    Preloaded,
    Question,
    Ready,
    Shutdown,
    Stop,
    StudyReply,
    SuggestReply,
    TrainJob,
    TrialLeft,
)

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
NUMBERS = st.floats() | st.sampled_from([-0.0, 1e308, math.inf, -math.inf, math.nan])
STEPS = st.integers(0, 2**31 - 1)
IDS = st.integers(0, 2**40)
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
    | st.builds(Heartbeat, host=TEXT, slot=TEXT, busy=st.booleans(), queues=st.lists(TEXT, max_size=3).map(tuple))
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
    | st.builds(TrialLeft, token=TEXT)
    | st.builds(Preloaded, objective=TEXT)
    | st.builds(CheckpointSaved, step=STEPS, file=TEXT, digest=TEXT, size=st.integers(0, 2**63 - 1))
    | st.builds(Question, id=IDS, question=st.builds(Suggest, name=TEXT, distribution=TEXT) | st.just(ReadStudy()))
)
def test_what_a_trainer_says_arrives(message: msgspec.Struct) -> None:
    assert repr(decode_from_trainer(encode(message))) == repr(message)


@given(
    st.builds(TrainJob, job=JOBS, log=TEXT, scratch=TEXT, checkpoints=st.lists(TEXT, max_size=2).map(tuple))
    | st.builds(Stop, token=TEXT)
    | st.builds(SuggestReply, id=IDS, name=TEXT, value=NUMBERS)
    | st.builds(StudyReply, id=IDS, error=TEXT)
    | st.just(Shutdown())
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
