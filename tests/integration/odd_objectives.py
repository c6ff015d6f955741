"""An objective each of whose trials does something else that no objective should do, or that some do."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import locale
import logging
import math
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import optuna

TABLE: dict[str, Callable[[optuna.Trial], Any]] = {}
"""What there is, by name."""

MANY = 25_000
"""More than a keeper holds in memory, and far more than may be unconfirmed in the stream."""


def odd(trial: optuna.Trial, names: Sequence[str] = ()) -> Any:
    name = (names or list(TABLE))[trial.number]
    trial.set_user_attr("behaviour", name)
    check_surroundings()
    return TABLE[name](trial)


def check_surroundings() -> None:
    """Fails the trial to which the one before it has left something."""
    found = {
        "directory": Path.cwd().name.startswith("gone"),
        "alarm": signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL,
        "handler": signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL,
        "mask": bool(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "output": sys.stdout is not sys.__stdout__ or sys.stdout.closed or sys.stderr.closed or sys.stdin.closed,
        "logging": logging.root.manager.disable != 0,
        "locale": locale.setlocale(locale.LC_ALL) == "C",
        "recursion": sys.getrecursionlimit() == 50_000,
        "collector": not gc.isenabled(),
        "niceness": os.getpriority(os.PRIO_PROCESS, 0) > 0,
        "limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 99,
        "thread": any(thread.name == "left over" for thread in threading.enumerate()),
    }
    for fd in (0, 1, 2):
        os.fstat(fd)
    left = [name for name, there in found.items() if there]
    assert not left, f"left over: {left}"


def behaviour(function: Callable[[optuna.Trial], Any]) -> Callable[[optuna.Trial], Any]:
    TABLE[function.__name__] = function
    return function


def returns(name: str, value: Any) -> None:
    TABLE[f"returns_{name}"] = lambda _: value


def reports(name: str, value: Any, step: Any = 1) -> None:
    def report(trial: optuna.Trial) -> float:
        trial.report(value, step)
        return 0.0

    TABLE[f"reports_{name}"] = report


def raises(name: str, make: Callable[[], BaseException]) -> None:
    def fail(_: optuna.Trial) -> None:
        raise make()

    TABLE[f"raises_{name}"] = fail


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even a message")


for name, value in {
    "none": None,
    "nan": math.nan,
    "infinity": math.inf,
    "text": "abc",
    "complex": 1j,
    "list": [1.0],
    "two": (1.0, 2.0),
    "decimal": Decimal("0.25"),
    "array": np.array(0.5),
}.items():
    returns(name, value)
for name, value in {
    "text": "high",
    "none": None,
    "complex": 1j,
    "scalar": np.float32(0.5),
    "nan": math.nan,
    "infinity": 1e400,
    "minus_infinity": -math.inf,
}.items():
    reports(name, value)
for name, value in {
    "step_negative": -1,
    "step_half": 1.5,
    "step_true": True,
    "step_text": "3",
    "step_none": None,
    "step_largest": 2**31 - 1,
    "step_beyond": 2**31,
    "step_far_beyond": 2**63,
}.items():
    reports(name, 0.5, value)
for name, make in {
    "mute": Mute,
    "surrogates": lambda: OSError("caf\udce9 \0 here"),
    "megabyte": lambda: ValueError("x" * (1 << 20)),
    "system_exit": lambda: SystemExit(3),
    "ctrl_c": KeyboardInterrupt,
    "cancelled": asyncio.CancelledError,
    "generator_exit": GeneratorExit,
    "pruned": optuna.TrialPruned,
}.items():
    raises(name, make)


@behaviour
def reports_one_step_twice(trial: optuna.Trial) -> float:
    trial.report(0.5, 1)
    trial.report(0.75, 1)
    return 0.0


@behaviour
def reports_very_often(trial: optuna.Trial) -> float:
    for step in range(MANY):
        trial.report(0.5, step)
    return 0.0


@behaviour
def range_moves(trial: optuna.Trial) -> float:
    first = trial.suggest_float("moving", 0, 1)
    second = trial.suggest_float("moving", 5, 9)
    return float(first == second)


@behaviour
def range_is_another(trial: optuna.Trial) -> float:
    return float(5 <= trial.suggest_float("moving", 5, 9) <= 9)


@behaviour
def kind_changes(trial: optuna.Trial) -> float:
    trial.suggest_float("kind", 0, 1)
    return trial.suggest_int("kind", 0, 1)


@behaviour
def choices_are_these(trial: optuna.Trial) -> float:
    return float(trial.suggest_categorical("choice", ["a", "b"]) in "ab")


@behaviour
def choices_are_those(trial: optuna.Trial) -> float:
    return float(trial.suggest_categorical("choice", ["x", "y"]) in "xy")


@behaviour
def bounds_are_the_wrong_way_round(trial: optuna.Trial) -> float:
    return trial.suggest_float("bounds", 1, 0)


@behaviour
def calls_quit(_: optuna.Trial) -> None:
    import site

    site.sethelper()  # type: ignore[attr-defined]
    site.setquit()  # type: ignore[attr-defined]
    quit()


@behaviour
def dies(_: optuna.Trial) -> None:
    os._exit(3)


@behaviour
def dies_with_a_child_alive(_: optuna.Trial) -> None:
    if not os.fork():
        time.sleep(600)
    os._exit(4)


def after_a_fork(child: Callable[[], Any]) -> Any:
    """Returns what the child makes in the child, and how it has ended in the parent."""
    pid = os.fork()
    if pid == 0:
        return child()
    return float(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


@behaviour
def forks_and_the_child_returns(_: optuna.Trial) -> Any:
    return after_a_fork(lambda: 99.0)


@behaviour
def forks_and_the_child_raises(_: optuna.Trial) -> Any:
    def fail() -> None:
        raise ValueError("in the child")

    return after_a_fork(fail)


@behaviour
def forks_and_the_child_exits(_: optuna.Trial) -> Any:
    return after_a_fork(lambda: sys.exit(7))


@behaviour
def forks_and_the_child_speaks(trial: optuna.Trial) -> Any:
    trial.report(0.25, 1)
    return after_a_fork(lambda: trial.report(0.5, 2))


@behaviour
def closes_standard_descriptors(_: optuna.Trial) -> float:
    for fd in (0, 1, 2):
        os.close(fd)
    return 0.0


@behaviour
def closes_all_other_descriptors(_: optuna.Trial) -> float:
    os.closerange(3, 4_096)
    return 0.0


@behaviour
def closes_standard_streams(_: optuna.Trial) -> float:
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.close()
    return 0.0


class Broken:
    def write(self, _: str) -> int:
        raise OSError("no")

    flush = write


@behaviour
def replaces_standard_output(_: optuna.Trial) -> float:
    sys.stdout = sys.stderr = Broken()  # type: ignore[assignment]
    return 0.0


@behaviour
def prints_megabytes(_: optuna.Trial) -> float:
    for _ in range(200):
        print("x" * 10_000)
    sys.stdout.buffer.write(bytes(range(256)) * 100)
    sys.stdout.flush()
    os.write(2, b"\xff\xfe\x00\x1b[2J")
    return 0.0


@behaviour
def goes_elsewhere(_: optuna.Trial) -> float:
    folder = Path(f"gone-{os.getpid()}")
    folder.mkdir()
    os.chdir(folder)
    Path.cwd().rmdir()
    return 0.0


@behaviour
def silences_logging(_: optuna.Trial) -> float:
    logging.basicConfig(level=logging.DEBUG, force=True)
    logging.disable(logging.CRITICAL)
    return 0.0


@behaviour
def sets_the_locale(_: optuna.Trial) -> float:
    locale.setlocale(locale.LC_ALL, "C")
    return 0.0


@behaviour
def sets_limits(_: optuna.Trial) -> float:
    sys.setrecursionlimit(50_000)
    gc.disable()
    os.umask(0o777)
    resource.setrlimit(resource.RLIMIT_NOFILE, (99, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return 0.0


@behaviour
def lowers_a_limit_for_good(_: optuna.Trial) -> float:
    os.nice(1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (99, 99))
    return 0.0


@behaviour
def leaves_an_alarm(_: optuna.Trial) -> float:
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGTERM})
    return 0.0


@behaviour
def leaves_a_thread(_: optuna.Trial) -> float:
    threading.Thread(target=time.sleep, args=(600,), daemon=True, name="left over").start()
    return 0.0


@behaviour
def deletes_its_log(_: optuna.Trial) -> float:
    with contextlib.suppress(OSError):
        path = Path(os.readlink("/proc/self/fd/1"))
        if path.name.startswith("trial-"):
            path.unlink()
    print("into the void")
    return 0.0


@behaviour
def says_nothing(_: optuna.Trial) -> float:
    return 0.0
