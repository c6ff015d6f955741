"""A request is made again while its server is away, and no longer."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import redis

from orchestrator.common.errors import BadInput, NotReached, ServerTrouble
from orchestrator.common.patience import FIRST_TRIES, Patience
from tasks.server_errors import Outages

AWAY = NotReached("redis://h", "Redis cannot be reached")
LOADING = redis.exceptions.BusyLoadingError("Redis is loading the dataset in memory")
REFUSED = redis.AuthenticationError("WRONGPASS")
OTHER = BadInput("a key", "is wrong")


def asks(*errors: Exception) -> Callable[[], str]:
    """Returns a request that fails so, time after time, and then is answered."""
    left = list(errors)

    def ask() -> str:
        if left:
            raise left.pop(0)
        return "answer"

    return ask


def patience(pauses: list[float], check: Callable[[], None] = lambda: None, **options: float) -> Patience:
    outages = Outages(logging.getLogger("patience"))
    return Patience(check, outages, sleep=pauses.append, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("errors", "pauses", "lines"),
    [
        ([], 0, []),
        ([AWAY] * (FIRST_TRIES - 1), FIRST_TRIES - 1, []),
        ([LOADING], 1, ["not available", "back after"]),
        # Once it has answered, its URL is right.
        ([AWAY, LOADING, *[AWAY] * 9, LOADING], 12, ["not available", "back after"]),
    ],
)
def test_a_server_that_answers_in_the_end(
    errors: list[Exception], pauses: int, lines: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    slept: list[float] = []
    with caplog.at_level(logging.INFO):
        assert patience(slept)(asks(*errors)) == "answer"
    assert len(slept) == pauses
    assert len(caplog.messages) == len(lines)
    assert all(piece in message for piece, message in zip(lines, caplog.messages, strict=True))


@pytest.mark.parametrize(
    ("errors", "raised", "pauses"),
    [
        ([AWAY] * FIRST_TRIES, AWAY, FIRST_TRIES - 1),
        ([REFUSED], REFUSED, 0),
        ([LOADING, REFUSED], REFUSED, 1),
        ([OTHER], OTHER, 0),
    ],
)
def test_what_no_patience_helps(errors: list[Exception], raised: Exception, pauses: int) -> None:
    slept: list[float] = []
    with pytest.raises(type(raised)) as caught:
        patience(slept)(asks(*errors))
    assert caught.value is raised
    assert len(slept) == pauses


def test_a_server_that_has_answered_before_is_waited_for_until_the_limit() -> None:
    slept: list[float] = []
    waits = patience(slept)
    assert waits(asks()) == "answer"
    assert waits(asks(*[AWAY] * 9)) == "answer"
    with pytest.raises(ServerTrouble, match="Redis cannot be reached; it was tried for -1 s"):
        patience(slept, limit=-1.0)(asks(AWAY))


def test_the_one_who_waits_may_be_told_to_stop() -> None:
    slept: list[float] = []

    def check() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        patience(slept, check)(asks(LOADING))
    assert len(slept) == 1
