"""Remote control: Celery's own commands are replaced, and by which ones."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker import state as worker_state
from celery.worker.control import Panel
from celery.worker.request import Request

from tasks.app import STOP_SIGNAL
from tasks.celery_task import TrialRequest
from tasks.worker import remote_control


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What of this worker's is not here; the commands are as they were afterwards."""
    monkeypatch.setattr(Panel, "data", dict(Panel.data))
    monkeypatch.setattr(Panel, "meta", dict(Panel.meta))
    monkeypatch.setattr(worker_state, "requests", {})
    told: list[str] = []
    remote_control.take_over(told.append)
    yield told
    worker_state.revoked.clear()


class Running:
    """A task that is at work here."""

    def __init__(self) -> None:
        self.terminated = 0

    def terminate(self, pool: Any) -> None:
        assert pool == "pool"
        self.terminated += 1


STATE = SimpleNamespace(consumer=SimpleNamespace(pool="pool"))


@pytest.mark.parametrize("signal", [None, "SIGTERM", "SIGKILL", STOP_SIGNAL])
def test_what_is_at_work_here_is_stopped_if_that_was_asked_for(reported: list[str], signal: str | None) -> None:
    running = worker_state.requests["token"] = Running()
    Panel.data["revoke"](STATE, "token", terminate=False, signal=signal)
    assert running.terminated == 0
    Panel.data["revoke"](STATE, ["token"], terminate=True, signal=signal)
    assert running.terminated == 1
    assert reported == []
    assert "token" in worker_state.revoked


@pytest.mark.parametrize("terminate", [True, False])
def test_what_is_not_here_is_told_of_unless_the_control_plane_asked(reported: list[str], terminate: bool) -> None:
    Panel.data["revoke"](STATE, ["ours"], terminate=terminate, signal=STOP_SIGNAL)
    assert reported == []
    Panel.data["revoke"](STATE, ["theirs"], terminate=terminate, signal="SIGTERM")
    assert reported == ["theirs"]
    assert {"ours", "theirs"} <= set(worker_state.revoked)


@pytest.mark.parametrize("command", ["pool_grow", "pool_shrink", "rate_limit", "time_limit"])
def test_what_would_break_slots_or_lose_trials_is_refused(reported: list[str], command: str) -> None:
    del reported
    (why,) = Panel.data[command](STATE, n=1, task_name="train", rate_limit="1/m", hard=1).values()
    assert ": " in why


def test_no_signal_but_ours_ever_reaches_a_keeper(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(Request, "terminate", lambda _, pool, signal=None: sent.append((pool, signal)))
    request = TrialRequest.__new__(TrialRequest)
    for asked in (None, 9, "SIGTERM"):
        request.terminate("pool", asked)
    assert sent == [("pool", STOP_SIGNAL)] * 3
