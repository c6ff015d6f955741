"""Which failures are the trial's own, and which are handed back."""

from __future__ import annotations

import errno
import signal
from pathlib import Path

import pytest

from tasks.contract import Failed, FailureCause, Finished, Job, Outcome, Released, Stopped
from tasks.keeper import handback
from tasks.keeper.handback import MOST_HANDED_BACK, HandbackPolicy
from tasks.keeper.slot import Runner, Slot, SlotTable
from tasks.objective_allowlist import ALLOW_ALL


def job(attempt: int = 1) -> Job:
    return Job(study="s", uid="u", trial=7, token="t", attempt=attempt, objective="m:f", directions=("minimize",))


def failed(cause: FailureCause = "exception", error: str = "ValueError", exit_code: int | None = None) -> Failed:
    return Failed(cause=cause, error=error, message="m", exit_code=exit_code)


class Desk:
    """A slot whose worker is told to stop after so many waits; never where that is ``None``."""

    def __init__(self, folder: Path, told_after: int | None) -> None:
        self.slots = SlotTable(2)
        self._left = told_after
        slot = Slot(
            index=0, name="w/0", mark="m", device="cpu", environment={}, data=folder / "data",
            checkpoints="s3://bucket", artifacts=str(folder / "artifacts"), allowlist=ALLOW_ALL,
        )  # fmt: skip
        self.it = HandbackPolicy(slot, self.slots, lambda: self._left == 0, self._wait)

    def _wait(self, _timeout: float) -> None:
        if self._left:
            self._left -= 1


DIED = failed("died", "TrainingProcessDied")
TERM = failed("died", "TrainingProcessDied", -signal.SIGTERM)


@pytest.mark.parametrize(
    ("outcome", "told_after", "attempt", "handed_back"),
    [
        (failed(), None, 1, False),
        (failed(), 0, 1, True),
        (DIED, 0, 1, True),
        (failed("died", "TrainingProcessDied", -signal.SIGKILL), None, 1, False),
        *((failed("died", "E", -number), None, 1, True) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)),
        (TERM, None, MOST_HANDED_BACK, True),
        (TERM, None, MOST_HANDED_BACK + 1, False),
        # By a handler of the objective's own, of a signal that its worker is about to have as well.
        (failed(error="SystemExit"), 3, 1, True),
        (failed(error="KeyboardInterrupt"), 3, 1, True),
        (failed(error="SystemExit"), None, 1, False),
        (failed(), 3, 1, False),
        # What the objective has returned is its own.
        (failed("nan"), 0, 1, False),
        (failed("checkpoint"), 0, 1, False),
        (Finished(values=(1.0,)), 0, 1, False),
        (Stopped(), 0, 1, False),
    ],
)
def test_a_failure_is_handed_back_where_the_process_was_told_to_end(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    outcome: Outcome,
    told_after: int | None,
    attempt: int,
    handed_back: bool,
) -> None:
    monkeypatch.setattr(handback, "TOLD_SECONDS", 0.01 if told_after is None else 60.0)
    found = Desk(tmp_path, told_after).it.judge(job(attempt), outcome)
    assert found == (Released() if handed_back else outcome)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.EAGAIN, errno.ENOMEM])
def test_an_error_of_the_host_closes_it(tmp_path: Path, number: int) -> None:
    desk = Desk(tmp_path, None)
    assert desk.it.may_train()
    assert desk.it.judge_error(job(), OSError(number, "in words", "/where")) == Released()
    assert desk.slots.trouble == "in words: /where"
    assert not desk.it.may_train()


@pytest.mark.parametrize(
    "error", [KeyError("\udc80"), OSError(errno.ENOTDIR, "a file is in the way"), ValueError("\0")]
)
def test_another_error_fails_the_attempt_in_words_that_can_be_sent(tmp_path: Path, error: Exception) -> None:
    desk = Desk(tmp_path, None)
    found = desk.it.judge_error(job(), error)
    assert isinstance(found, Failed)
    assert found.cause == "died"
    assert found.message.isascii()
    assert found.message.isprintable()
    assert not desk.slots.trouble


def test_a_failure_beside_a_folder_that_takes_nothing_is_handed_back(tmp_path: Path) -> None:
    desk = Desk(tmp_path, None)
    (tmp_path / "data").write_text("no folder")
    assert desk.it.judge(job(), DIED) == Released()
    assert str(tmp_path / "data") in desk.slots.trouble


def test_what_is_shared_is_read_as_it_was_written() -> None:
    slots = SlotTable(2)
    slots.set_busy(1, True)
    slots.set_runner(1, Runner("token", "runner"))
    slots.trouble = "é" * 600
    slots.drain()
    assert (slots.runner(0), slots.runner(1), slots.busy()) == (None, Runner("token", "runner"), 1)
    assert set(slots.trouble) == {"é"}
    assert (slots.draining, slots.hurrying) == (True, False)
    slots.drain()
    assert slots.hurrying
    slots.set_runner(1, None)
    slots.trouble = ""
    assert (slots.runner(1), slots.trouble) == (None, "")
