"""Objectives with processes, threads and signal handlers of their own: each runs to its end, and is pruned once."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna

LONG = 600.0
TABLE: dict[str, Callable[[bool, list[int]], None]] = {}
"""Each is told whether to work for long, and notes the processes that it starts."""

SLEEP = ["sleep", str(LONG)]
STUBBORN = ("swallows_everything", "takes_the_stop_signal")
"""Those that cannot be made to leave once they have begun, and are ended with their process."""


def kind(function: Callable[[bool, list[int]], None]) -> Callable[[bool, list[int]], None]:
    TABLE[function.__name__] = function
    return function


def busy(trial: optuna.Trial, folder: str, names: Sequence[str] = ()) -> float:
    name, long = (names or list(TABLE))[trial.number // 2], trial.number % 2 == 1
    alive = [pid for path in Path(folder).glob("*.json") for pid in json.loads(path.read_text()) if is_alive(pid)]
    assert not alive, f"an earlier trial has left {alive}"
    trial.set_user_attr("kind", name)
    pids: list[int] = []
    if long:
        trial.report(1e9, 1)
    try:
        TABLE[name](long, pids)
    finally:
        note(folder, trial.number, pids)
    return 0.0


def note(folder: str, number: int, pids: list[int]) -> None:
    path = Path(folder, f"{number}.json")
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(pids))
    draft.rename(path)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextlib.contextmanager
def started(pids: list[int], *arguments: Any, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(*arguments, **options)
    pids.append(child.pid)
    yield child


def load(context: str, long: bool, pids: list[int]) -> None:
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    data = TensorDataset(torch.arange(8))
    loader = DataLoader(data, num_workers=2, multiprocessing_context=context, persistent_workers=True)
    while True:
        total = sum(int(each) for (each,) in loader)
        pids += [worker.pid for worker in loader._iterator._workers]
        assert total == 28
        if not long:
            return


@kind
def forked_loader(long: bool, pids: list[int]) -> None:
    load("fork", long, pids)


@kind
def spawned_loader(long: bool, pids: list[int]) -> None:
    load("spawn", long, pids)


@kind
def child_process(long: bool, pids: list[int]) -> None:
    with started(pids, SLEEP if long else ["true"]) as child:
        assert child.wait() == 0


@kind
def child_process_interrupted(long: bool, pids: list[int]) -> None:
    """A child is to have the signals that it has below any other program."""
    with started(pids, SLEEP) as child:
        if long:
            child.wait()
        child.send_signal(signal.SIGINT)
        assert child.wait() == -signal.SIGINT


@kind
def child_process_in_its_own_session(long: bool, pids: list[int]) -> None:
    with started(pids, SLEEP, start_new_session=True) as child:
        if long:
            child.wait()


@kind
def daemon(long: bool, pids: list[int]) -> None:
    """Forks twice, as daemons do; no process waits for the last one."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(writing, str(os.getpid()).encode())
            os.execvp(SLEEP[0], SLEEP)
        os._exit(0)
    pids.append(int(os.read(reading, 32)))
    os.close(reading)
    os.close(writing)
    if long:
        time.sleep(LONG)


@kind
def pool(long: bool, pids: list[int]) -> None:
    with multiprocessing.Pool(2) as workers:
        pids += [each.pid for each in multiprocessing.active_children() if each.pid]
        workers.map(time.sleep, [LONG if long else 0.0] * 2)


@kind
def executor(long: bool, pids: list[int]) -> None:
    workers = ProcessPoolExecutor(2)
    found = [workers.submit(time.sleep, LONG if long else 0.0) for _ in range(2)]
    pids += list(workers._processes)
    for each in found:
        each.result()
    workers.shutdown()


@kind
def threads(long: bool, pids: list[int]) -> None:
    del pids
    with ThreadPoolExecutor(2) as workers:
        assert sum(workers.map(abs, range(-3, 0))) == 6
    event = threading.Event()
    thread = threading.Thread(target=event.wait, args=(LONG,))
    thread.start()
    try:
        thread.join(LONG if long else 0.0)
    finally:
        event.set()
        thread.join()


@kind
def event_loop(long: bool, pids: list[int]) -> None:
    del pids

    async def work() -> None:
        heard = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, heard.set)
        os.kill(os.getpid(), signal.SIGTERM)
        await heard.wait()
        await asyncio.gather(*(asyncio.sleep(LONG if long else 0.0) for _ in range(3)))

    asyncio.run(work())


@kind
def handlers(long: bool, pids: list[int]) -> None:
    """Left as they are: who comes next is not to meet them, nor the alarm that still rings."""
    del pids
    heard: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGALRM, signal.SIGHUP):
        signal.signal(number, lambda signum, _: heard.append(signum))
        os.kill(os.getpid(), number)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    faulthandler.register(signal.SIGQUIT, file=sys.__stderr__)
    while len(heard) < 10 or long:
        time.sleep(0.01)
    assert set(heard) == {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGALRM, signal.SIGHUP}


@kind
def interrupts_itself(long: bool, pids: list[int]) -> None:
    del pids
    with contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("Ctrl-C does nothing")
    if long:
        time.sleep(LONG)


@kind
def takes_the_stop_signal(long: bool, pids: list[int]) -> None:
    del pids
    heard: list[int] = []
    signal.signal(signal.SIGUSR2, lambda signum, _: heard.append(signum))
    os.kill(os.getpid(), signal.SIGUSR2)
    while not heard or long:
        time.sleep(0.01)


@kind
def swallows_everything(long: bool, pids: list[int]) -> None:
    with started(pids, SLEEP) as child:
        while long:
            with contextlib.suppress(BaseException):
                time.sleep(LONG)
        child.kill()
        child.wait()


def main() -> None:
    """Runs each to its end on plain Optuna."""
    study = optuna.create_study()
    pids: list[int] = []
    for name, function in TABLE.items():
        study.optimize(lambda _, function=function: function(False, pids) or 0.0, n_trials=1)  # type: ignore[misc]
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        assert study.trials[-1].value == 0.0, name
    for pid in pids:
        # No keeper ends what is left here.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
