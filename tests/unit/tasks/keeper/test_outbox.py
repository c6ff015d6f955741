"""The outbox: events of a runner that the control plane has not confirmed."""

from __future__ import annotations

import errno
import logging
from collections import deque
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.keeper.outbox import IN_MEMORY, SENT_AHEAD, DiskQueue, Outbox

LARGE = IN_MEMORY + 3 * SENT_AHEAD


def outbox(count: int, folder: Path) -> Outbox:
    box = Outbox("token", "runner", folder)
    say(box, count)
    return box


def say(box: Outbox, count: int) -> None:
    for _ in range(count):
        box.last += 1
        box.add(b"%d" % box.last)


def drain(box: Outbox) -> list[tuple[int, bytes]]:
    """Sends what is not confirmed, and confirms it, until nothing is left."""
    found = []
    box.sent = box.confirmed
    while len(box):
        entries = box.unsent(500)
        assert entries, "what is left can be sent"
        found += entries
        box.sent = entries[-1][0]
        box.confirm(box.sent, 0.0)
    return found


def test_what_was_not_sent_comes_in_order_and_in_portions(tmp_path: Path) -> None:
    box = outbox(5, tmp_path)
    assert [seq for seq, _ in box.unsent(3)] == [1, 2, 3]
    box.sent = 3
    assert [seq for seq, _ in box.unsent(3)] == [4, 5]


def test_what_is_confirmed_is_dropped_for_good(tmp_path: Path) -> None:
    box = outbox(5, tmp_path)
    box.sent = 5
    box.confirm(3, 10.0)
    assert len(box) == 2
    box.confirm(2, 11.0)  # an older confirmation that was read late
    assert (box.confirmed, len(box)) == (3, 2)
    box.sent = box.confirmed  # a broken connection: all that is not confirmed is sent again
    assert [seq for seq, _ in box.unsent(10)] == [4, 5]


def test_a_confirmation_may_be_ahead_of_what_this_process_knows_it_sent(tmp_path: Path) -> None:
    box = outbox(4, tmp_path)
    box.confirm(4, 1.0)
    assert not len(box)
    assert box.unsent(10) == []


def test_what_does_not_fit_into_memory_comes_back_from_the_disk_in_order(tmp_path: Path) -> None:
    box = outbox(LARGE, tmp_path)
    assert (len(box), box.in_memory) == (LARGE, IN_MEMORY)
    assert drain(box) == [(seq, b"%d" % seq) for seq in range(1, LARGE + 1)]
    assert box.in_memory == 0


def test_the_file_has_no_name_and_leaves_nothing_to_clean_up(tmp_path: Path) -> None:
    box = outbox(LARGE, tmp_path)
    assert box.in_memory < len(box)
    assert list(tmp_path.iterdir()) == []
    box.clear()


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 6_000), st.integers(0, 6_000)), max_size=12))
def test_memory_is_bounded_and_order_kept_whatever_comes_and_goes(
    tmp_path_factory: pytest.TempPathFactory, course: list[tuple[int, int]]
) -> None:
    box = outbox(0, tmp_path_factory.getbasetemp())
    sent = []
    for said, confirmed in course:
        say(box, said)
        while (entries := box.unsent(500)) and len(sent) < confirmed + box.confirmed:
            sent += [seq for seq, _ in entries]
            box.sent = entries[-1][0]
        box.confirm(min(box.sent, box.confirmed + confirmed), 0.0)
        assert box.in_memory <= IN_MEMORY
    sent += [seq for seq, _ in drain(box)]
    assert sorted(set(sent)) == list(range(1, box.last + 1))


def test_a_full_disk_is_said_once_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk cannot be filled for a test; what it answers then can be had."""
    written: deque[bytes] = deque()
    real = DiskQueue.append

    def append(self: DiskQueue, record: bytes) -> None:
        if len(written) >= 100:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(record)
        real(self, record)

    monkeypatch.setattr(DiskQueue, "append", append)
    with caplog.at_level(logging.WARNING):
        box = outbox(LARGE, tmp_path)
    assert box.in_memory == LARGE - 100
    actions = [record.__dict__.get("action") for record in caplog.records]
    assert actions == ["spilling", "spill_failed"]
    assert drain(box) == [(seq, b"%d" % seq) for seq in range(1, LARGE + 1)]


def test_events_that_are_dropped_leave_the_disk_too(tmp_path: Path) -> None:
    box = outbox(LARGE, tmp_path)
    box.clear()
    assert (len(box), box.in_memory, box.unsent(5)) == (0, 0, [])


def test_a_spill_gives_back_what_it_was_given(tmp_path: Path) -> None:
    spill = DiskQueue(tmp_path)
    records = [b"", b"a", b"\0" * 70_000, b"\n", b"end"]
    for record in records:
        spill.append(record)
    assert len(spill) == 5
    assert spill.take(2) == records[:2]
    spill.append(b"more")
    assert spill.take(100) == [*records[2:], b"more"]
    assert (len(spill), spill.take(1)) == (0, [])
    spill.close()


def test_the_place_on_the_disk_is_used_again(tmp_path: Path) -> None:
    spill = DiskQueue(tmp_path)
    for _ in range(8):
        for _ in range(20):
            spill.append(b"x" * 100_000)
        spill.take(20)
    assert spill.size <= 4_000_000
    spill.close()
