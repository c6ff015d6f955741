"""What earlier versions have said is understood as it was meant: messages that they wrote, read by today's code.

A change that raises the version records the messages of the one before, as ``protocol/4.json`` does: one of each kind,
with all its fields, and what it is taken for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from tasks import contract
from tasks.codec import decode_confirmation, decode_event, decode_reply, job_from_payload
from tasks.contract import OLDEST, VERSION

READERS: dict[str, Callable[[str], Any]] = {
    "event": lambda data: decode_event(bytes.fromhex(data)),
    "job": lambda data: job_from_payload(json.loads(data)),
    "confirmation": lambda data: decode_confirmation(bytes.fromhex(data)),
    "reply": lambda data: decode_reply(bytes.fromhex(data)),
}


def recorded(version: int) -> list[dict[str, str]]:
    found = json.loads((Path(__file__).parent / "protocol" / f"{version}.json").read_text())
    assert found["version"] == version
    messages: list[dict[str, str]] = found["messages"]
    return messages


@pytest.mark.parametrize("version", range(OLDEST, VERSION + 1))
def test_what_was_said_is_understood(version: int) -> None:
    for message in recorded(version):
        # Fields that were added since have their defaults.
        meant = eval(message["says"], vars(contract) | {"inf": math.inf})
        assert repr(READERS[message["kind"]](message["data"])) == repr(meant), message["kind"]


def test_every_event_is_recorded() -> None:
    said = " ".join(message["says"] for message in recorded(VERSION))
    # What stands for an event that could not be read is never sent.
    bodies = {body.__name__ for body in get_args(contract.Body)} - {"Unreadable"}
    assert {body for body in bodies if f"body={body}(" not in said} == set()
