"""Signatures: only who holds a key can make one, and none serves for anything but what it was made for."""

from __future__ import annotations

import itertools
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.common.errors import BadInput
from orchestrator.common.settings import load_settings
from orchestrator.spec.model import validate
from tasks import redis_keys
from tasks.codec import encode, job_to_payload, signable
from tasks.contract import Announcement, Epoch, Event, Finished, Job, Stopped
from tasks.metrics_endpoint import BadSetting
from tasks.signing import SIGNING_KEY, UNSIGNED, Keyring, Purpose, Unsigned, read_keys
from tasks.worker.startup_checks import version_mismatch
from tests.simulated.simulation import Simulation

FILE = f"{SIGNING_KEY}_FILE"
OLD, NEW, OTHER = "0123456789abcdef" * 2, "fedcba9876543210" * 4, "not-one-of-ours-" * 2
MESSAGES = st.binary(max_size=60).map(msgspec.msgpack.encode)


@given(MESSAGES, st.sampled_from(Purpose), st.text(max_size=9))
def test_what_was_sealed_is_opened(data: bytes, purpose: Purpose, subject: str) -> None:
    keyring = Keyring([OLD])
    sealed = keyring.seal(purpose, data, subject)
    assert sealed != data
    assert keyring.open(purpose, sealed, subject) == data


def test_without_a_key_nothing_changes() -> None:
    data = encode(Announcement())
    assert not UNSIGNED
    assert UNSIGNED.seal(Purpose.EVENT, data) == data
    assert UNSIGNED.open(Purpose.EVENT, data) == data


@given(MESSAGES, st.integers(0, 200), st.integers(1, 255))
def test_a_changed_byte_is_noticed(data: bytes, at: int, change: int) -> None:
    keyring = Keyring([OLD])
    sealed = bytearray(keyring.seal(Purpose.EVENT, data))
    sealed[at % len(sealed)] ^= change
    with pytest.raises(Unsigned):
        keyring.open(Purpose.EVENT, bytes(sealed))


@pytest.mark.parametrize("length", range(18))
def test_what_is_cut_off_is_not_signed(length: int) -> None:
    keyring = Keyring([OLD])
    with pytest.raises(Unsigned):
        keyring.open(Purpose.EVENT, keyring.seal(Purpose.EVENT, b"\x80")[:length])


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(Purpose, 2)))
def test_a_signature_serves_one_purpose(one: Purpose, other: Purpose) -> None:
    keyring = Keyring([OLD])
    with pytest.raises(Unsigned):
        keyring.open(other, keyring.seal(one, b"\x80"))


@pytest.mark.parametrize("subject", ["", "another", "attempt\0", "attempt\0\x80"])
def test_a_signature_is_about_one_subject(subject: str) -> None:
    keyring = Keyring([OLD])
    with pytest.raises(Unsigned):
        keyring.open(Purpose.CONFIRMATION, keyring.seal(Purpose.CONFIRMATION, b"\x80", "attempt"), subject)


def test_a_key_is_replaced_while_every_message_is_accepted() -> None:
    steps = [[OLD], [OLD, NEW], [NEW, OLD], [NEW]]
    for before, after in itertools.pairwise(steps):
        # While one side has taken the step and the other has not.
        for signs, verifies in ((before, after), (after, before)):
            keyring = Keyring(verifies)
            assert keyring.open(Purpose.JOB, Keyring(signs).seal(Purpose.JOB, b"\x80")) == b"\x80"
    with pytest.raises(Unsigned, match="no key that is known here"):
        Keyring([NEW]).open(Purpose.JOB, Keyring([OLD]).seal(Purpose.JOB, b"\x80"))


def test_a_side_without_a_key_says_what_it_lacks() -> None:
    with pytest.raises(Unsigned, match=SIGNING_KEY):
        UNSIGNED.open(Purpose.EVENT, Keyring([OLD]).seal(Purpose.EVENT, b"\x80"))
    with pytest.raises(Unsigned, match="not signed"):
        Keyring([OLD]).open(Purpose.EVENT, b"\x80")


def test_a_job_has_one_spelling() -> None:
    job = Job(study="s", uid="u", trial=0, token="t", attempt=1, objective="m:o", directions=("minimize",), args={})
    payload = job_to_payload(job)
    turned = dict(reversed(msgspec.json.decode(msgspec.json.encode(payload)).items()))
    assert list(turned) != list(payload)
    assert signable(turned) == signable(payload)
    assert signable(payload | {"objective": "os:system"}) != signable(payload)


# -- where keys come from -----------------------------------------------------------------------------------------


def test_keys_come_from_a_variable_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{NEW}\n{OLD}\n")
    assert read_keys("", "") == ()
    assert read_keys(f" {NEW}, {OLD}\n", "") == read_keys("", str(file)) == (NEW, OLD)
    assert Keyring.of({FILE: str(file)})
    assert load_settings({SIGNING_KEY: NEW}).keyring()
    assert not load_settings({}).keyring()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("secret-but-short", "only 16 characters"),
        ("ab" * 20, "only 2 different characters"),
        (f"{NEW},tiny-secret", "key 2 of 2 has only 11 characters"),
        (",".join(f"{count:02d}{NEW}" for count in range(11)), "11 keys are too many"),
    ],
)
def test_a_weak_key_is_refused_in_one_line_that_does_not_show_it(text: str, wrong: str) -> None:
    with pytest.raises(BadInput) as caught:
        load_settings({SIGNING_KEY: text})
    message = str(caught.value)
    assert message.startswith(f"{SIGNING_KEY}: ")
    assert wrong in message
    assert not any(part in message for part in text.split(","))


def test_a_file_that_holds_no_keys_is_refused(tmp_path: Path) -> None:
    empty, noise, weak = tmp_path / "empty", tmp_path / "noise", tmp_path / "weak"
    empty.write_text("\n")
    noise.write_bytes(b"\xff\xfe" * 40)
    weak.write_text("weak-secret")
    for file, wrong in [
        (empty, "an empty file"),
        (noise, "cannot be read"),
        (weak, "only 11 characters"),
        (tmp_path, "cannot be read"),
        (tmp_path / "none", "cannot be read"),
    ]:
        with pytest.raises(BadSetting, match=wrong) as caught:
            Keyring.of({FILE: str(file)})
        assert caught.value.variable == FILE
        assert "weak-secret" not in str(caught.value)
    with pytest.raises(BadSetting, match="give one of them"):
        read_keys(NEW, str(noise))


def test_a_keyring_does_not_show_its_keys() -> None:
    assert OLD not in repr(Keyring([OLD])) + repr(load_settings({SIGNING_KEY: OLD}))


# -- what follows from the announcement ---------------------------------------------------------------------------


def announced(keys: tuple[str, ...] = (), version: int = Announcement().version) -> bytes:
    return Keyring(keys).seal(Purpose.ANNOUNCEMENT, encode(Announcement(version=version)))


def test_a_worker_fits_a_control_plane_of_its_version_with_a_key_in_common() -> None:
    assert version_mismatch(None, UNSIGNED) == version_mismatch(announced(), UNSIGNED) == ""
    assert version_mismatch(announced((NEW, OLD)), Keyring([OLD, NEW])) == ""
    assert version_mismatch(b"\xff\xff", UNSIGNED) == ""  # an unreadable message proves nothing


@pytest.mark.parametrize(
    ("sealed", "held", "why"),
    [
        (announced((OLD,)), (), "signed, and there is no key here"),
        (announced(), (OLD,), "is not signed"),
        (announced((OTHER,)), (OLD,), "no key that is known here"),
        (announced(version=99), (), "upgrade this worker"),
        (announced(version=1), (), "upgrade the control plane"),
    ],
)
def test_a_worker_that_does_not_fit_says_why(sealed: bytes, held: tuple[str, ...], why: str) -> None:
    line = version_mismatch(sealed, Keyring(held))
    assert why in line
    assert "\n" not in line


# -- a whole search -----------------------------------------------------------------------------------------------

SEARCH = validate(
    {
        "name": "search",
        "objective": "somewhere:objective",
        "trials": 4,
        "seed": 3,
        "sampler": {"name": "random"},
        "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
    },
    "test",
)


def forged(event: Event, keyring: Keyring = UNSIGNED) -> dict[bytes, bytes]:
    return {redis_keys.EVENT_FIELD: keyring.seal(Purpose.EVENT, encode(event))}


def test_unsigned_events_change_nothing_and_are_kept() -> None:
    undisturbed = Simulation(SEARCH, keyring=Keyring([OLD])).run_to_end()
    disturbed = Simulation(SEARCH, keyring=Keyring([OLD]))
    disturbed.start()
    for _ in range(6):
        disturbed.turn(disturbed.slots[0])
        disturbed.round()
    run = disturbed.runs[-1]
    next_one = Event(token=run.job.token, runner=run.runner, seq=len(run.said) + 1, body=Finished(values=(-1e9,)))
    filler = {"token": run.job.token, "runner": run.runner, "seq": len(run.said) + 1, "body": {"type": "none-such"}}
    signed_epoch = forged(run.said[-1], Keyring([OLD]))[redis_keys.EVENT_FIELD]
    moved = signed_epoch.replace(run.runner.encode(), b"x" * len(run.runner))
    for fields in (
        forged(next_one),
        forged(next_one, Keyring([OTHER])),
        {redis_keys.EVENT_FIELD: msgspec.msgpack.encode(filler)},
        {redis_keys.EVENT_FIELD: moved},
        {redis_keys.EVENT_FIELD: Keyring([OLD]).seal(Purpose.JOB, encode(next_one))},
    ):
        disturbed.redis.add(fields)
    disturbed.run_to_end()
    assert disturbed.ledger.rows(times=False) == undisturbed.ledger.rows(times=False)
    reasons = [reason for _, reason in disturbed.redis.dead]
    assert reasons.count("an event that is not signed") == 2
    assert reasons.count("an event that is signed with no key that is known here") == 3


def test_an_event_that_was_signed_and_cannot_be_read_does_not_hold_up_those_behind_it() -> None:
    simulation = Simulation(SEARCH, keyring=Keyring([OLD]))
    simulation.start()
    while not simulation.runs:
        simulation.round()
        simulation.turn(simulation.slots[0])
    run = simulation.runs[-1]
    broken = run.event(Epoch(step=-1, value=0.5))
    simulation.redis.add(forged(broken, Keyring([OLD])))
    simulation.run_to_end()
    assert "$.body.step" in simulation.redis.dead[0][1]
    assert {trial.state for trial in simulation.ledger.trials.values()} == {"COMPLETE"}


def test_a_replayed_event_is_a_duplicate() -> None:
    undisturbed = Simulation(SEARCH, keyring=Keyring([OLD])).run_to_end()
    replayed = Simulation(SEARCH, keyring=Keyring([OLD]))
    replayed.start()
    seen: dict[bytes, None] = {}
    for _ in range(12):
        replayed.turn(replayed.slots[0])
        seen |= {fields[redis_keys.EVENT_FIELD]: None for fields in replayed.redis.entries.values()}
        replayed.round()
        for sealed in seen:
            replayed.redis.add({redis_keys.EVENT_FIELD: sealed})
    assert len(seen) > 10
    replayed.run_to_end()
    assert replayed.ledger.rows(times=False) == undisturbed.ledger.rows(times=False)
    assert not replayed.redis.dead
    assert not any(isinstance(event.body, Stopped) for run in replayed.runs for event in run.said)
