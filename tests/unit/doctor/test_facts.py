"""How facts come about, as far as no server is needed: items and events that are read, two looks that are compared."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import pytest
from celery.utils.time import utcoffset
from doctor_facts import RUNNING, SENT, WELL

from orchestrator.doctor.celery_probe import sent_at
from orchestrator.doctor.facts import Item, Sign
from orchestrator.doctor.heartbeat_listener import read_sign
from orchestrator.doctor.host_probe import read_installation
from orchestrator.doctor.queue_probe import read_item
from orchestrator.doctor.table_facts import Study, TableFacts, Writer, steady
from tasks.app import create_app
from tasks.codec import encode, job_to_payload, signable
from tasks.contract import VERSION, Epoch, Event, Heartbeat, Job
from tasks.signing import Keyring, Purpose

JOB = Job(study="s", uid="u", trial=0, token="t", attempt=1, objective="m:f", directions=("minimize",))


def message(payload: Any, **changes: Any) -> bytes:
    """What Celery sends for a task, with some of it changed."""
    whole = {
        "body": base64.b64encode(json.dumps([[payload], {}, {}]).encode()).decode(),
        "content-type": "application/json",
        "headers": {"task": "train", "id": "t"},
        "properties": {"body_encoding": "base64"},
    }
    return json.dumps(whole | changes).encode()


def test_a_task_is_that_of_its_attempt() -> None:
    assert read_item(message(job_to_payload(JOB))) == Item("t", VERSION)


def test_a_task_of_a_later_protocol_is_a_task() -> None:
    assert read_item(message({"version": VERSION + 1, "other": 1})) == Item("t", VERSION + 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"17",
        b"[1]",
        b"[" * 100_000,
        message(job_to_payload(JOB), headers=[1]),
        message(job_to_payload(JOB), headers={"task": "other", "id": "t"}),
        message(job_to_payload(JOB), headers={"task": "train", "id": {"a": 1}}),
        message(job_to_payload(JOB), headers={"task": "train", "id": "another"}),
        message(job_to_payload(JOB), properties=None),
        message(job_to_payload(JOB), body="\x00"),
        message(job_to_payload(JOB), **{"content-type": "application/x-python-serialize"}),
        message({"study": 1}),
        message(17),
    ],
)
def test_what_is_no_task_is_said_to_be_none(data: bytes) -> None:
    item = read_item(data)
    assert (item.token, bool(item.wrong)) == ("", True)


def test_an_unsigned_task_is_none_where_tasks_are_signed() -> None:
    keyring, payload = Keyring(["0123456789abcdef" * 2]), job_to_payload(JOB)
    signature = keyring.sign(Purpose.JOB, signable(payload)).hex()
    signed = message(payload, headers={"task": "train", "id": "t", "signature": signature})
    assert read_item(signed, keyring) == read_item(signed) == Item("t", VERSION)
    assert read_item(message(payload), keyring) == Item(wrong="Unsigned: not signed")
    other = message(payload | {"objective": "os:system"}, headers={"task": "train", "id": "t", "signature": signature})
    assert "no key that is known here" in read_item(other, keyring).wrong


def event(version: int = VERSION, body: Any = None) -> bytes:
    alive = Heartbeat(host="h", slot="w@h/0", device="cpu", queues=("trials",))
    return encode(Event(token="t", runner="r", seq=0, body=body or alive, version=version))


def test_signs_of_life_are_heard_and_nothing_else() -> None:
    assert read_sign(event()) == Sign("w@h/0", "h", "cpu", ("trials",), "t", "r", VERSION)
    assert read_sign(event(body=Epoch(step=1, value=0.5))) is None
    assert read_sign(b"\xff\x00") is None
    assert read_sign(msgspec.msgpack.encode([1, 2])) is None
    assert read_sign(msgspec.msgpack.encode({"version": 99, "body": 3})) is None


def test_of_a_later_protocol_the_slot_is_told_if_there_is_one() -> None:
    assert read_sign(event(VERSION + 1)) == Sign("w@h/0", version=VERSION + 1)
    unheard_of = {"token": "t", "version": VERSION + 1, "body": {"type": "unheard-of"}}
    assert read_sign(msgspec.msgpack.encode(unheard_of)) == Sign("", version=VERSION + 1)


def test_what_changed_between_two_looks_is_told_from_what_stood_still() -> None:
    still, moved, new = RUNNING, SENT, replace(SENT, token="token-2", trial=2)
    first = TableFacts(
        studies=(Study("a", trials=2), Study("b", trials=2)),
        attempts=(still, moved),
        unattended=(("a", 7), ("a", 8)),
    )
    second = TableFacts(
        studies=(Study("a", trials=2), Study("b", trials=3)),
        attempts=(still, replace(moved, state="running", runner="r"), new),
        unattended=(("a", 8), ("a", 9)),
    )
    found = steady(first, second)
    assert [(each.token, each.steady) for each in found.attempts] == [
        ("token-0", True),
        ("token-1", False),
        ("token-2", False),
    ]
    assert [(each.name, each.steady) for each in found.studies] == [("a", True), ("b", False)]
    assert found.unattended == (("a", 8),)


def test_a_task_that_was_sent_again_meanwhile_did_not_stand_still() -> None:
    (found,) = steady(TableFacts(attempts=(SENT,)), TableFacts(attempts=(replace(SENT, sent=99.0),))).attempts
    assert not found.steady


@pytest.mark.parametrize(
    ("left", "passed", "renewed", "still"),
    [
        (4.0, 0.1, False, 0.0),
        (4.0, 5.0, False, 5.0),
        (4.0, 5.0, True, 0.0),
        # By the database's clock its last renewal is that long ago.
        (0.5, 0.1, False, 5.5),
        # What ends later than a lease can does not tell when it was renewed.
        (600.0, 0.1, False, 0.0),
        (600.0, 5.0, False, 5.0),
        (-60.0, 5.0, False, 0.0),
    ],
)
def test_a_lease_that_is_not_renewed(left: float, passed: float, renewed: bool, still: float) -> None:
    first, second = Writer("h:1:2", 3, left + passed, expires=9.0), Writer("h:1:2", 3, left, expires=9.0 + renewed)
    found = steady(TableFacts(writer=first), TableFacts(writer=second), passed, lease=6.0, patience=5.0).writer
    assert found == replace(second, still=still)


def test_a_lease_of_longer_settings_than_these_is_no_sign_of_death() -> None:
    """Ten seconds were looked, and it is renewed every twenty."""
    row = Writer("h:1:2", 3, 55.0, expires=9.0)
    (facts,) = (TableFacts(writer=row),)
    assert not row.doubtful(lease=60.0, patience=50.0)
    assert steady(facts, facts, 10.0, lease=60.0, patience=50.0).active
    assert row.doubtful(lease=6.0, patience=5.0)


@pytest.mark.parametrize("theirs", ["UTC", "Asia/Tokyo", "Asia/Kolkata", "America/New_York"])
@pytest.mark.parametrize("here", ["UTC", "Pacific/Auckland"])
def test_a_clock_of_another_zone_is_not_apart(theirs: str, here: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_zone(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    try:
        in_zone(theirs)
        sent = {"type": "worker-heartbeat", "timestamp": 1_700_000_000.0, "utcoffset": utcoffset(), "clock": 1}
        in_zone(here)
        with create_app("memory://") as app:
            _, event = app.events.Receiver(app.connection_for_read()).event_from_message(sent)
        assert sent_at(event) == pytest.approx(1_700_000_000.0, rel=0, abs=0.01)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_this_installation_is_held_against_what_it_asks_for(tmp_path: Path) -> None:
    found = read_installation(tmp_path / "not" / "there")
    assert (found.version, found.python_fits) == (metadata.version("trial-orchestrator"), True)
    packages = {package.name: package for package in found.packages}
    assert packages["celery"].found == metadata.version("celery")
    assert all(package.fits for package in found.packages), "this is the environment that the tests run in"
    assert "pytest" not in packages, "extras are not needed"
    assert found.disk_free


def test_facts_are_plain_data() -> None:
    plain = msgspec.to_builtins(WELL)
    assert "Infinity" not in json.dumps(plain)
    assert plain["database"]["books"]["attempts"][0]["token"] == "token-0"
