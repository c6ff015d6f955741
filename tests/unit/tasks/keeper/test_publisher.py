"""The publisher, round trip by round trip: what goes to the stream, what is read back, what comes again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tasks import redis_keys
from tasks.codec import decode_event, encode
from tasks.contract import Confirmation, Epoch, Event, Finished, Heartbeat, Released, Verdict
from tasks.keeper.outbox import SENT_AHEAD
from tasks.keeper.publisher import SEND_AT_ONCE, Publisher
from tasks.signing import UNSIGNED, Keyring, Purpose

HEARTBEAT = 2.0
PATIENCE = 20.0


class Server:
    """As much of Redis as one pipeline needs; it can be away."""

    def __init__(self, keyring: Keyring) -> None:
        self.keyring = keyring
        self.stream: list[Event] = []
        self.values: dict[str, bytes] = {}
        self.away = False
        self.hold = threading.Event()
        self.hold.set()
        self._orders: list[Callable[[], Any]] = []

    def pipeline(self, transaction: bool) -> Server:
        assert not transaction
        self._orders = []
        return self

    def xadd(self, name: str, fields: dict[bytes, bytes]) -> None:
        assert name == redis_keys.EVENTS
        data = self.keyring.open(Purpose.EVENT, fields[redis_keys.EVENT_FIELD])
        self._orders.append(lambda: self.stream.append(decode_event(data)))

    def get(self, name: str) -> None:
        self._orders.append(lambda: self.values.get(name))

    def __len__(self) -> int:
        return len(self._orders)

    def execute(self) -> list[Any]:
        assert self.hold.wait(PATIENCE)
        if self.away:
            raise redis.ConnectionError("away")
        return [order() for order in self._orders]

    def confirm(self, token: str, runner: str, seq: int, verdict: Verdict | None = None) -> None:
        self.values[redis_keys.confirmation(token)] = encode(Confirmation(runner=runner, seq=seq, verdict=verdict))

    def take(self) -> list[int]:
        """The sequence numbers of what has come since the last call, signs of life left out."""
        found, self.stream = [event.seq for event in self.stream if event.seq], []
        return found


class PublisherHarness:
    """A publisher whose rounds are made by hand."""

    def __init__(self, folder: Path, keyring: Keyring = UNSIGNED) -> None:
        self.server = Server(keyring)
        self.heard: list[tuple[str, Confirmation]] = []
        self.publisher = Publisher(
            self.server,  # type: ignore[arg-type]
            folder,
            heartbeat=HEARTBEAT,
            alive=lambda: Heartbeat(host="h", slot="s"),
            on_confirmation=lambda runner, confirmation: self.heard.append((runner, confirmation)),
            keyring=keyring,
        )
        self.publisher.begin("token", "runner")
        self.now = self.publisher._outboxes["runner"].stalled_since

    def say(self, count: int = 1) -> None:
        for _ in range(count):
            self.publisher.publish("runner", Epoch(step=0, value=0.5))

    def round(self, *, beating: bool = False, later: float = 0.0) -> bool:
        self.now += later
        return self.publisher._round(self.now, beating)


@pytest.fixture
def harness(tmp_path: Path) -> PublisherHarness:
    return PublisherHarness(tmp_path)


def test_events_are_numbered_from_one_without_gaps(harness: PublisherHarness) -> None:
    assert [harness.publisher.publish("runner", Released()) for _ in range(3)] == [1, 2, 3]
    harness.round()
    assert [(event.token, event.runner, event.seq) for event in harness.server.stream] == [
        ("token", "runner", seq) for seq in (1, 2, 3)
    ]


def test_what_was_sent_is_not_sent_again_at_once(harness: PublisherHarness) -> None:
    harness.say(2)
    harness.round()
    assert harness.server.take() == [1, 2]
    harness.say()
    harness.round()
    assert harness.server.take() == [3]
    assert harness.publisher.unconfirmed() == 3


def test_a_round_without_anything_to_do_does_not_ask_the_server(harness: PublisherHarness) -> None:
    harness.server.away = True
    assert not harness.round()


def test_a_sign_of_life_stands_outside_the_numbering_and_names_the_job_at_hand(harness: PublisherHarness) -> None:
    harness.round(beating=True)
    harness.publisher.end("runner")
    harness.round(beating=True)
    assert [(event.token, event.runner, event.seq) for event in harness.server.stream] == [
        ("token", "runner", 0),
        ("", "", 0),
    ]


def test_what_is_confirmed_is_forgotten_and_passed_on(harness: PublisherHarness) -> None:
    harness.say(3)
    harness.round()
    verdict = Verdict(cause="pruned", step=0)
    harness.server.confirm("token", "runner", 2, verdict)
    harness.publisher.ask()
    harness.round()
    assert harness.publisher.unconfirmed() == 1
    assert harness.heard == [("runner", Confirmation(runner="runner", seq=2, verdict=verdict))]


def stalled(harness: PublisherHarness) -> None:
    """Of four events one is confirmed, and then nothing for long: the next one is sent once more."""
    harness.say(4)
    harness.round()
    harness.server.confirm("token", "runner", 1)
    harness.round(beating=True)
    harness.server.take()
    harness.round(beating=True, later=2 * HEARTBEAT)
    assert harness.server.take() == []
    harness.round(beating=True, later=0.1)
    assert harness.server.take() == [2]


def test_without_a_listener_one_event_is_sent_now_and_then(harness: PublisherHarness) -> None:
    stalled(harness)
    harness.round(beating=True, later=HEARTBEAT)
    assert harness.server.take() == []
    harness.round(beating=True, later=HEARTBEAT + 0.1)
    assert harness.server.take() == [2]
    harness.say()
    harness.round()
    assert harness.server.take() == [5], "what is new goes out as ever"


def test_what_was_lost_is_sent_again_in_order(harness: PublisherHarness) -> None:
    stalled(harness)
    harness.server.confirm("token", "runner", 2)
    harness.round(beating=True, later=HEARTBEAT)
    harness.round()
    assert harness.server.take() == [3, 4]


def test_what_was_only_late_is_not_sent_again(harness: PublisherHarness) -> None:
    stalled(harness)
    harness.server.confirm("token", "runner", 3)
    harness.round(beating=True, later=HEARTBEAT)
    harness.round()
    assert harness.server.take() == []


def test_what_advances_is_not_sent_again(harness: PublisherHarness) -> None:
    harness.say(9)
    harness.round()
    harness.server.take()
    for seq in range(1, 9):
        harness.server.confirm("token", "runner", seq)
        harness.round(beating=True, later=1.5 * HEARTBEAT)
        assert harness.server.take() == []


def test_after_an_outage_everything_unconfirmed_comes_again(harness: PublisherHarness) -> None:
    harness.say(3)
    harness.round()
    harness.server.confirm("token", "runner", 1)
    harness.round(beating=True)
    harness.server.take()
    harness.server.away = True
    harness.say()
    with pytest.raises(redis.ConnectionError):
        harness.round()
    harness.publisher._forget_sent()
    harness.server.away = False
    harness.round()
    assert harness.server.take() == [2, 3, 4]


def test_a_long_backlog_goes_out_in_portions(harness: PublisherHarness) -> None:
    harness.say(2 * SEND_AT_ONCE + 1)
    assert harness.round()
    assert len(harness.server.take()) == SEND_AT_ONCE
    assert harness.round()
    assert not harness.round()
    assert harness.server.take()[-1] == 2 * SEND_AT_ONCE + 1


def test_a_last_word_is_sent_until_it_is_confirmed_while_the_next_job_runs(harness: PublisherHarness) -> None:
    harness.publisher.publish("runner", Finished(values=(0.5,)))
    harness.publisher.end("runner")
    harness.publisher.begin("next", "next-runner")
    harness.round()
    harness.server.take()
    harness.round(beating=True, later=3 * HEARTBEAT)
    assert harness.server.take() == [1]
    harness.server.confirm("token", "runner", 1)
    harness.round(beating=True)
    assert list(harness.publisher._outboxes) == ["next-runner"]


@pytest.mark.parametrize(
    "confirmation",
    [
        Confirmation(runner="another", seq=5),
        Confirmation(runner="another", seq=0, verdict=Verdict(cause="lost")),
        Confirmation(runner="", seq=0, verdict=Verdict(cause="not started")),
    ],
)
def test_what_a_runner_says_that_is_not_the_bound_one_is_dropped(
    harness: PublisherHarness, confirmation: Confirmation
) -> None:
    harness.say(3)
    harness.publisher.end("runner")
    harness.server.values[redis_keys.confirmation("token")] = encode(confirmation)
    harness.round()
    assert harness.publisher.unconfirmed() == 0
    assert harness.heard == [("runner", confirmation)]


def test_an_attempt_without_a_bound_runner_keeps_everything(harness: PublisherHarness) -> None:
    harness.say(3)
    harness.server.confirm("token", "", 0)
    harness.round()
    assert harness.publisher.unconfirmed() == 3


@pytest.mark.parametrize("value", [b"", b"\xc1", b"null", b"\x80"])
def test_an_unreadable_confirmation_changes_nothing(harness: PublisherHarness, value: bytes) -> None:
    harness.say(2)
    harness.server.values[redis_keys.confirmation("token")] = value
    harness.round()
    assert harness.publisher.unconfirmed() == 2
    assert harness.heard == []


def test_a_runner_that_is_confirmed_in_everything_goes_on(harness: PublisherHarness) -> None:
    harness.say(2)
    harness.round()
    harness.server.confirm("token", "runner", 2)
    harness.round(beating=True)
    harness.server.take()
    assert harness.publisher.publish("runner", Epoch(step=1, value=0.5)) == 3
    harness.round()
    assert harness.server.take() == [3]


def test_a_runner_whose_last_word_waits_for_an_upload_is_still_alive(harness: PublisherHarness) -> None:
    """The slot has its next job; without a sign of life the one before would count as lost."""
    harness.publisher.begin("next", "next-runner")
    harness.round(beating=True)
    assert sorted((event.token, event.seq) for event in harness.server.stream) == [("next", 0), ("token", 0)]
    harness.publisher.publish("runner", Released())
    harness.publisher.end("runner")
    harness.server.take()
    harness.round(beating=True)
    assert [(event.token, event.runner) for event in harness.server.stream if not event.seq] == [
        ("next", "next-runner")
    ]


class TestAwaitingTheAnswer:
    """The start of a job: what is known of its attempt comes with the round trip that says so."""

    @pytest.fixture
    def harness(self, tmp_path: Path) -> Iterator[PublisherHarness]:
        it = PublisherHarness(tmp_path)
        it.publisher.start()
        yield it
        it.publisher.close(0.0)

    def test_the_answer_has_been_passed_on_when_it_returns(self, harness: PublisherHarness) -> None:
        harness.server.confirm("token", "another", 3)
        harness.say()
        harness.publisher.await_answer("runner", PATIENCE)
        assert harness.heard[-1] == ("runner", Confirmation(runner="another", seq=3))

    def test_each_runner_waits_for_its_own(self, harness: PublisherHarness) -> None:
        for number in range(50):
            harness.server.confirm(f"token-{number}", "another", number)
            harness.publisher.begin(f"token-{number}", f"runner-{number}")
            harness.publisher.publish(f"runner-{number}", Released())
            harness.publisher.await_answer(f"runner-{number}", PATIENCE)
            assert (f"runner-{number}", Confirmation(runner="another", seq=number)) in harness.heard

    def test_a_server_that_is_away_is_not_waited_for(self, harness: PublisherHarness) -> None:
        begun = time.monotonic()
        for _ in range(3):  # the first round finds out, the others know
            harness.server.away = True
            harness.publisher.begin("token", "runner")
            harness.say()
            harness.publisher.await_answer("runner", PATIENCE)
        assert time.monotonic() - begun < PATIENCE / 4
        assert harness.publisher.unconfirmed() == 1

    def test_a_server_that_does_not_answer_is_waited_for_within_bounds(self, harness: PublisherHarness) -> None:
        harness.server.hold.clear()
        harness.say()
        begun = time.monotonic()
        harness.publisher.await_answer("runner", 0.05)
        assert 0.05 <= time.monotonic() - begun < PATIENCE / 4
        harness.server.hold.set()


def test_what_a_confirmation_makes_room_for_is_sent_at_once(harness: PublisherHarness) -> None:
    """No publish wakes the thread any more: the trial has ended, and its events are not sent yet."""
    harness.say(SENT_AHEAD + 1)
    while harness.round():
        pass
    assert harness.server.take() == list(range(1, SENT_AHEAD + 1))
    harness.server.confirm("token", "runner", SENT_AHEAD)
    harness.publisher.ask()
    assert harness.round(), "there is more to send"
    harness.round()
    assert harness.server.take() == [SENT_AHEAD + 1]


def test_what_was_signed_for_one_attempt_says_nothing_of_another(tmp_path: Path) -> None:
    keyring = Keyring(["0123456789abcdef" * 2])
    harness = PublisherHarness(tmp_path, keyring)
    harness.say(2)
    harness.round()
    assert harness.server.take() == [1, 2]

    def confirmed(keyring: Keyring, token: str) -> int:
        confirmation = encode(Confirmation(runner="runner", seq=2, verdict=Verdict(cause="pruned", step=0)))
        harness.server.values[redis_keys.confirmation("token")] = keyring.seal(
            Purpose.CONFIRMATION, confirmation, token
        )
        harness.round(beating=True)
        return len(harness.heard)

    assert confirmed(UNSIGNED, "token") == confirmed(keyring, "another") == 0
    assert harness.publisher.unconfirmed() == 2
    assert confirmed(keyring, "token") == 1
    assert harness.publisher.unconfirmed() == 0
