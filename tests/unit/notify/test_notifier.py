"""Delivery of notifications: repeated, given up, superseded, owed at the end. Against a real server."""

from __future__ import annotations

import logging
import time

import pytest
from notifying import Settled, notifying, odd_server, owed

from orchestrator.notify import notifier as notifiers
from orchestrator.notify import webhook as posts
from orchestrator.notify.notifier import Notifier
from orchestrator.notify.policy import Policy
from tests.webhook_server import webhook_server


def test_a_note_is_posted_until_it_is_taken() -> None:
    with webhook_server([500, 503]) as it, notifying() as notifier:
        settled = Settled(notifier)
        notifier.owe([owed(it.url)])
        assert settled.last("uid:1")[:3] == ("delivered", 3, "HTTP 204")
    assert [(state.state, state.tries) for _, state in settled.all][-1] == ("delivered", 3)
    assert {(each.body, each.headers["X-Orchestrator-Delivery"]) for each in it.posted} == {
        (b'{"id": "uid:1"}', "uid:1")
    }


def test_it_waits_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifiers, "LONGEST_PAUSE", 900.0)
    now = time.monotonic()
    made = Notifier(Policy(), {})
    monkeypatch.setattr(made._posts, "add", lambda owed, due=0.0: added.append((owed.tries, due - now)))
    added: list[tuple[int, float]] = []
    for tries in (0, 1, 2, 9, 10, 5_000):
        made._take_in(made._posts, owed("http://h/", tries=tries), posts.DeliveryAttempt(False, True, "HTTP 500"))
    assert [(tries, round(pause)) for tries, pause in added] == [
        *((1, 1), (2, 2), (3, 4), (10, 512)),
        *((11, 900), (5_001, 900)),
    ]


def test_a_note_that_is_a_day_old_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    with webhook_server([500]) as it, notifying() as notifier, caplog.at_level(logging.WARNING):
        notifier.owe([owed(it.url, at=time.time() - 86_400)])
        assert Settled(notifier).last("uid:1")[:3] == ("failed", 1, "HTTP 500")
    (record,) = caplog.records
    assert (record.__dict__["action"], record.__dict__["study"]) == ("note_failed", "s")
    assert "hush" not in record.getMessage()


def test_what_makes_no_sense_to_be_tried_again_is_not() -> None:
    with webhook_server([404]) as it, notifying() as notifier:
        notifier.owe([owed(it.url)])
        assert Settled(notifier).last("uid:1")[:3] == ("failed", 1, "HTTP 404")
        assert len(it.posted) == 1


def test_one_study_that_cannot_be_told_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifiers, "CLOSE_SECONDS", 0.0)
    with odd_server(b"") as silent, webhook_server() as it, notifying() as notifier:
        notifier.owe([owed(silent, key="a")])
        notifier.owe([owed(it.url, key="b", study="other")])
        assert Settled(notifier).last("b").state == "delivered"


def test_of_better_trials_in_quick_succession_the_last_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifiers, "BEST_SECONDS", 0.2)
    with webhook_server() as it, notifying() as notifier:
        settled = Settled(notifier)
        notifier.owe([owed(it.url, "best", "best:0")])
        it.wait(1)
        for number in (1, 2, 3):
            notifier.owe([owed(it.url, "best", f"best:{number}")])
        notifier.owe([owed(it.url, "best", "other:0", study="other")])
        for number, state in enumerate(("delivered", "superseded", "superseded", "delivered")):
            assert settled.last(f"best:{number}").state == state
        assert settled.last("other:0").state == "delivered"
        delivered = [each.headers["X-Orchestrator-Delivery"] for each in it.posted]
        assert delivered == ["best:0", "other:0", "best:3"]


def test_the_end_overtakes_what_came_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifiers, "BEST_SECONDS", 3_600.0)
    with webhook_server([204]) as it, notifying() as notifier:
        settled = Settled(notifier)
        notifier.owe([owed(it.url, "best", "best:0")])
        it.wait(1)
        notifier.owe([owed(it.url, "best", "best:1"), owed(it.url, "finished", "end")])
        assert settled.last("best:1").state == "superseded"
        assert settled.last("end").state == "delivered"
        assert len(it.posted) == 2


def test_a_better_trial_that_could_not_be_told_in_time_is_not_told_late() -> None:
    with webhook_server([500]) as it, notifying() as notifier:
        first, later = owed(it.url, "best", "best:0"), owed(it.url, "finished", "end")
        notifier._newest["s"] = later.note.key
        notifier._posts.add(first)
        assert Settled(notifier).last("best:0").state == "superseded"


def test_what_is_not_told_at_the_end_stays_owed() -> None:
    with webhook_server() as it:
        notifier = Notifier(Policy(), {})
        notifier.close()
        notifier.owe([owed(it.url)])
        notifier.close()
        assert notifier.take_settled() == {}
        assert it.posted == []
