"""Leaving code from outside: real signals in the main thread."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator

import optuna
import pytest

from tasks.trainer.interrupt import Interrupter, TrialStopped
from tasks.trainer.keeper_channel import KeeperChannel

LONG = 30.0


@pytest.fixture
def interrupter() -> Iterator[Interrupter]:
    before = signal.getsignal(signal.SIGUSR2)
    it = Interrupter()
    it.install()
    yield it
    signal.signal(signal.SIGUSR2, before)


def speaking(interrupter: Interrupter) -> KeeperChannel:
    """Our own code on behalf of the objective."""
    return KeeperChannel(lambda _: None, interrupter)


def stop_soon(interrupter: Interrupter, token: str = "t") -> None:
    timer = threading.Timer(0.05, interrupter.stop, (token,))
    timer.daemon = True
    timer.start()


def test_a_blocking_call_is_left_at_once(interrupter: Interrupter) -> None:
    with pytest.raises(optuna.TrialPruned), interrupter.running("t"):
        stop_soon(interrupter)
        threading.Event().wait(LONG)


def test_a_stop_for_another_attempt_is_ignored(interrupter: Interrupter) -> None:
    with interrupter.running("t"):
        interrupter.stop("another trial")
        assert not interrupter.stopping


def test_a_stop_that_comes_before_the_trial_begins_is_not_lost(interrupter: Interrupter) -> None:
    interrupter.stop("t")
    with pytest.raises(TrialStopped), interrupter.running("t"):
        pytest.fail("it began")


def test_our_own_code_is_finished_first(interrupter: Interrupter) -> None:
    done = []
    with pytest.raises(TrialStopped), interrupter.running("t"):
        with speaking(interrupter):
            interrupter.stop("t")
            done.append("written")
        done.append("more")
    assert done == ["written"]


def test_code_that_swallows_the_exception_meets_it_again_at_its_next_report(interrupter: Interrupter) -> None:
    swallowed = 0
    with pytest.raises(TrialStopped), interrupter.running("t"):
        stop_soon(interrupter)
        try:
            threading.Event().wait(LONG)
        except optuna.TrialPruned:
            swallowed += 1
        with speaking(interrupter):
            pass
    assert swallowed == 1


class Finalized:
    """Waits in its finalizer, where the interpreter drops whatever is raised."""

    def __init__(self, reached: threading.Event) -> None:
        self._reached = reached

    def __del__(self) -> None:
        self._reached.set()
        threading.Event().wait(LONG)


def test_a_stop_that_comes_upon_a_finalizer_is_raised_again_behind_it(interrupter: Interrupter) -> None:
    reached = threading.Event()
    hook = sys.unraisablehook

    def stop_in_the_finalizer() -> None:
        reached.wait()
        interrupter.stop("t")

    threading.Thread(target=stop_in_the_finalizer, daemon=True).start()
    with pytest.raises(TrialStopped), interrupter.running("t"):
        Finalized(reached)
        threading.Event().wait(LONG)
        pytest.fail("the signal did not come again")
    assert sys.unraisablehook is hook


class Guarded:
    """A lock that is stopped at the moment at which it has been taken or given back."""

    def __init__(self, interrupter: Interrupter, at: str) -> None:
        self.lock = threading.Lock()
        self._interrupter = interrupter
        self._at = at

    def __enter__(self) -> None:
        self.lock.acquire()
        self._ring("taken")

    def __exit__(self, *_: object) -> None:
        self._ring("before it is given back")
        self.lock.release()

    def _ring(self, moment: str) -> None:
        if self._at == moment:
            self._interrupter.stop("t")
        for _ in range(2 * (self._at == moment)):
            ring_here()


def ring_here() -> None:
    """Raises as if the signal had interrupted the caller's caller."""
    frame = sys._getframe(2)
    handler = signal.getsignal(signal.SIGUSR2)
    assert callable(handler)
    handler(signal.SIGUSR2, frame)


@pytest.mark.parametrize("moment", ["taken", "before it is given back"])
def test_no_lock_stays_taken(interrupter: Interrupter, moment: str) -> None:
    guarded = Guarded(interrupter, moment)
    with pytest.raises(TrialStopped), interrupter.running("t"):
        with guarded:
            pass
        threading.Event().wait(LONG)
    assert not guarded.lock.locked()


def test_a_lock_that_never_comes_is_left_all_the_same(interrupter: Interrupter) -> None:
    lock = threading.Condition(threading.Lock())
    lock.acquire()
    stop_soon(interrupter)
    with pytest.raises(TrialStopped), interrupter.running("t"), lock:
        pytest.fail("it was taken before")


def test_what_other_finalizers_raise_is_told_as_ever(interrupter: Interrupter, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda dropped: told.append(dropped.exc_value))

    class Broken:
        def __del__(self) -> None:
            raise ValueError("of its own")

    with interrupter.running("t"):
        Broken()
    assert [str(error) for error in told] == ["of its own"]


def test_nothing_is_left_over_for_the_next_trial(interrupter: Interrupter) -> None:
    with pytest.raises(TrialStopped), interrupter.running("t"):
        interrupter.stop("t")
        threading.Event().wait(LONG)
    with interrupter.running("next"), speaking(interrupter):
        assert not interrupter.stopping
