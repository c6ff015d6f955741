"""What a runner has said and nobody has confirmed."""

from __future__ import annotations

from tasks.keeper.publisher import Outbox


def outbox(count: int) -> Outbox:
    box = Outbox("token", "runner")
    box.pending.extend((seq, b"%d" % seq) for seq in range(1, count + 1))
    return box


def test_what_was_not_sent_comes_in_order_and_in_portions() -> None:
    box = outbox(5)
    assert [seq for seq, _ in box.unsent(3)] == [1, 2, 3]
    box.sent = 3
    assert [seq for seq, _ in box.unsent(3)] == [4, 5]


def test_what_is_confirmed_is_dropped_for_good() -> None:
    box = outbox(5)
    box.sent = 5
    box.confirm(3, 10.0)
    assert [seq for seq, _ in box.pending] == [4, 5]
    box.confirm(2, 11.0)  # an older confirmation that was read late
    assert (box.confirmed, [seq for seq, _ in box.pending]) == (3, [4, 5])
    box.sent = box.confirmed  # a broken connection: all that is not confirmed is sent again
    assert [seq for seq, _ in box.unsent(10)] == [4, 5]


def test_a_confirmation_may_be_ahead_of_what_this_process_knows_it_sent() -> None:
    box = outbox(4)
    box.confirm(4, 1.0)
    assert not box.pending
    assert box.unsent(10) == []
