"""What a trial leaves running is ended, and the process stays warm; where it has to be replaced, that is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trainer_harness import TrainerHarness, running_trainer

from tasks.contract import Attribute, Finished
from tasks.trainer_messages import Ready, TrialLeft

SOURCE = """
import concurrent.futures
import multiprocessing
import os
import subprocess
import threading
import time
from multiprocessing import shared_memory

import torch
from torch.utils.data import DataLoader

held = []

def train(trial, loader, hold):
    print(*[p.pid for p in multiprocessing.active_children()], end=" ", flush=True)
    total = 0.0
    for step, batch in enumerate(loader):
        if not step:
            print("started", *[p.pid for p in multiprocessing.active_children()], flush=True)
        total += float(batch.sum())
        trial.report(total, step)
        if step == hold:
            threading.Event().wait()
    return total

def loader(persistent, more=64):
    return DataLoader(torch.ones(more), num_workers=2, persistent_workers=persistent)

def local(trial, persistent, hold=None):
    return train(trial, loader(persistent), hold)

def in_a_cycle(trial, persistent, hold):
    own = {"loader": loader(persistent)}
    own["self"] = own
    return train(trial, own["loader"], hold)

kept = loader(True)

def of_the_module(trial, hold=None):
    return train(trial, kept, hold)

def held_in_mid_epoch(trial, persistent):
    held[:] = [iter(loader(persistent))]
    next(held[0])
    return 0.5

def cut_short(trial, persistent):
    own = iter(loader(persistent))
    next(own)
    join = own._workers[0].join
    def cut(timeout):
        own._workers[0].join = join
        raise KeyError
    own._workers[0].join = cut
    held[:] = [own]
    try:
        own._shutdown_workers()
    except KeyError:
        return 0.5

def open_queue(trial):
    held[:] = [multiprocessing.Queue()]
    held[0].put(1)
    held[0].get()
    return 0.5

def goes_on_with_it(trial):
    next(held[0])

def queue(trial):
    held[:] = [multiprocessing.Queue()]
    held[0].put(1)
    held[0].get()
    held[0].close()
    return 0.5

def processes(trial, method):
    context = multiprocessing.get_context(method)
    for _ in range(2):
        process = context.Process(target=time.sleep, args=(600,))
        process.start()
        print(process.pid, flush=True)
    return 0.5

def stubborn(trial):
    process = subprocess.Popen(["sh", "-c", "trap '' TERM; setsid sleep 600 & echo $! $$; while :; do sleep 1; done"],
                               stdout=subprocess.PIPE)
    print(process.stdout.readline().decode(), flush=True)
    return 0.5

def joblib(trial):
    from joblib import Parallel, delayed
    print(*Parallel(n_jobs=2)(delayed(os.getpid)() for _ in range(4)), flush=True)
    return 0.5

def executor(trial, kind):
    pool = getattr(concurrent.futures, kind)(2)
    print(*pool.map(pid, range(4)), flush=True)
    return 0.5

def pool(trial):
    print(*multiprocessing.Pool(2).map(pid, range(4)), flush=True)
    return 0.5

def pid(_):
    time.sleep(0.01)
    return os.getpid()

def shared(trial):
    memory = shared_memory.SharedMemory(create=True, size=100)
    memory.close()
    memory.unlink()
    return 0.5

def open_pool(trial):
    held[:] = [multiprocessing.get_context("fork").Pool(2)]
    held[0].map(pid, range(4))
    return 0.5

def held_process(trial):
    held[:] = [subprocess.Popen(["sleep", "600"])]
    return 0.5

def manager(trial):
    held[:] = [multiprocessing.Manager()]
    return 0.5

def managed(trial):
    with multiprocessing.Manager() as manager:
        manager.list().append(1)
    multiprocessing.Manager().list().append(1)
    held[:] = [manager]
    return 0.5

def endless_thread(trial):
    threading.Thread(target=time.sleep, args=(600,), name="left over", daemon=True).start()
    return 0.5

def threads(trial):
    held[:] = [concurrent.futures.ThreadPoolExecutor(2)]
    list(held[0].map(pid, range(4)))
    return 0.5

def busy_threads(trial):
    held[:] = [concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="busy")]
    held[0].submit(time.sleep, 600)
    return 0.5

def known(trial):
    trial.set_user_attr("pid", os.getpid())
    return 0.5
"""

STAY: dict[str, tuple[dict[str, Any], int | None]] = {
    "a loader of the trial, stopped": ({"objective": "local", "persistent": False}, 3),
    "one with persistent workers, stopped": ({"objective": "local", "persistent": True}, 3),
    "one with persistent workers, at the end": ({"objective": "local", "persistent": True}, None),
    "one in a cycle, stopped": ({"objective": "in_a_cycle", "persistent": False}, 3),
    "one with persistent workers in a cycle, stopped": ({"objective": "in_a_cycle", "persistent": True}, 3),
    "one of the module, stopped": ({"objective": "of_the_module"}, 3),
    "one of the module, stopped again": ({"objective": "of_the_module"}, 5),
    "one of the module, at the end": ({"objective": "of_the_module"}, None),
    "an iterator that is held": ({"objective": "held_in_mid_epoch", "persistent": False}, None),
    "one of persistent workers": ({"objective": "held_in_mid_epoch", "persistent": True}, None),
    "one whose end was cut short": ({"objective": "cut_short", "persistent": False}, None),
    "one of persistent workers whose end was cut short": ({"objective": "cut_short", "persistent": True}, None),
    "a queue that is open": ({"objective": "open_queue"}, None),
    "a queue": ({"objective": "queue"}, None),
    "forked processes": ({"objective": "processes", "method": "fork"}, None),
    "spawned processes": ({"objective": "processes", "method": "spawn"}, None),
    "processes of a fork server": ({"objective": "processes", "method": "forkserver"}, None),
    "and again": ({"objective": "processes", "method": "forkserver"}, None),
    "one that ignores TERM, and a daemon": ({"objective": "stubborn"}, None),
    "joblib's pool": ({"objective": "joblib"}, None),
    "joblib's pool again": ({"objective": "joblib"}, None),
    "an executor that nothing holds": ({"objective": "executor", "kind": "ProcessPoolExecutor"}, None),
    "one of threads": ({"objective": "executor", "kind": "ThreadPoolExecutor"}, None),
    "a pool that nothing holds": ({"objective": "pool"}, None),
    "managers that have ended": ({"objective": "managed"}, None),
    "shared memory": ({"objective": "shared"}, None),
    "threads that wait for work": ({"objective": "threads"}, None),
}

REPLACED = {
    "endless_thread": "the trial left threads behind: left over",
    "busy_threads": "the trial left threads behind: busy_0",
    "open_pool": "the trial left a multiprocessing.pool.Pool of process ",
    "held_process": "the trial left a subprocess.Popen of process ",
    "manager": "the trial left a multiprocessing.managers.BaseManager of process ",
}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainerHarness]:
    with running_trainer(tmp_path_factory.mktemp("remains"), SOURCE, preload="train:known") as it:
        yield it


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("name", STAY)
def test_the_process_stays_and_nothing_of_the_trial_does(process: TrainerHarness, name: str) -> None:
    args, stop_at = STAY[name]
    if stop_at is not None:
        args = args | {"hold": stop_at}
    assert process.train(**args, stop_at=stop_at) == Ready()
    assert isinstance(process.outcome, Finished if stop_at is None else TrialLeft), process.outcome
    started = [int(word) for word in process.log.split() if word.isdecimal() and int(word) != process.process.pid]
    assert [pid for pid in started if alive(pid)] == []
    if stop_at is not None:
        assert len(started) == 2
    children = Path(f"/proc/{process.process.pid}/task/{process.process.pid}/children").read_text().split()
    helpers = [Path(f"/proc/{pid}/cmdline").read_text() for pid in children]
    assert all("resource_tracker" in each for each in helpers), helpers


def test_one_that_goes_on_with_an_iterator_of_another_trial_is_told(process: TrainerHarness) -> None:
    process.train("held_in_mid_epoch", persistent=False)
    process.train("goes_on_with_it")
    assert "iterate it anew" in getattr(process.outcome, "message", "")


@pytest.mark.parametrize("objective", REPLACED)
def test_what_cannot_be_ended_is_named(tmp_path: Path, objective: str) -> None:
    lean = SOURCE.replace("import torch\nfrom torch.utils.data import DataLoader\n", "").replace("kept =", "#")
    with running_trainer(tmp_path, lean) as it:
        ready = it.train(objective)
        assert isinstance(ready, Ready)
        assert not ready.healthy
        assert ready.why.startswith(REPLACED[objective])


CYCLES = """
import gc
import sys

import numpy as np
import optuna

model = None

class Model:
    def __init__(self):
        self.weights = np.ones(4 << 17)
        self.trainer = {"model": self}

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / (4 << 20)

def objective(trial, way):
    global model
    trial.set_user_attr("models", resident())
    model = Model()
    local = Model()
    trial.report(0.5, 0)
    if way == "raises":
        try:
            raise ValueError(local)
        except ValueError as error:
            sys.last_value = error
            raise
    if way == "prunes":
        raise optuna.TrialPruned
    while way == "is stopped":
        pass
    return 0.5
"""


def test_memory_stays_level_whatever_a_trial_leaves(tmp_path: Path) -> None:
    """Each leaves a model in a global and one in a cycle, of 4 MB, and ends in every way that there is."""
    ways = ("returns", "prunes", "is stopped", "raises")
    with running_trainer(tmp_path, CYCLES) as it:
        found = []
        for number in range(60):
            way = ways[number % 4]
            assert it.train(way=way, stop_at=0 if way == "is stopped" else None) == Ready()
            found += [float(each.value) for each in it.of(Attribute)]
    assert len(found) == 60
    assert max(found[8:]) - found[4] < 3, [round(each, 1) for each in found]


def test_what_an_import_leaves_is_there_for_all_trials(tmp_path: Path) -> None:
    """A helper that is started with the module is the module's, whether it was imported ahead or by the first trial."""
    source = """
import os, subprocess, threading, time
helper = subprocess.Popen(["sleep", "600"])
thread = threading.Thread(target=time.sleep, args=(600,), daemon=True)
thread.start()
def objective(trial):
    return float(helper.poll() is None and thread.is_alive())
"""
    with running_trainer(tmp_path, source) as it:
        for _ in range(2):
            assert it.train() == Ready()
            assert it.outcome == Finished(values=(1.0,))
