"""The peak memory of a process and of all that it starts, measured from outside."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tasks.contract import PEAK_MEMORY
from tasks.keeper import peak_memory
from tasks.keeper.peak_memory import PeakMemory

MIB = 1 << 20
PROGRAM = """
import os, signal, sys
def hold(mib):
    return bytes(range(256)) * (mib << 12)
for line in sys.stdin:
    what, mib = line.split()
    if what == "briefly":
        hold(int(mib))
    elif what == "hold":
        held = hold(int(mib))
    else:
        for _ in range(3):
            if not os.fork():
                signal.pause()
    print("done", flush=True)
"""


class Program:
    def __init__(self) -> None:
        command = [sys.executable, "-c", PROGRAM]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    def does(self, what: str, mib: int = 0) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(what, mib, file=self.process.stdin, flush=True)
        assert self.process.stdout.readline() == "done\n"


@pytest.fixture
def program() -> Iterator[Program]:
    it = Program()
    yield it
    with contextlib.suppress(ProcessLookupError):
        os.killpg(it.process.pid, signal.SIGKILL)
    it.process.communicate()


def peak_mib(meter: PeakMemory) -> float:
    return meter.end()[PEAK_MEMORY] / MIB


def test_a_peak_between_two_samples_is_not_missed(program: Program) -> None:
    meter = PeakMemory()  # not started: it samples nothing
    meter.begin(program.process.pid)
    program.does("briefly", 100)
    assert 100 < peak_mib(meter) < 160


def test_each_measurement_begins_anew(program: Program) -> None:
    program.does("briefly", 200)
    meter = PeakMemory()
    meter.begin(program.process.pid)
    program.does("briefly", 50)
    assert 50 < peak_mib(meter) < 110


def test_memory_that_processes_share_counts_once(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak_memory, "SAMPLE_SECONDS", 0.01)
    program.does("hold", 100)
    program.does("fork")
    meter = PeakMemory()
    meter.start()
    meter.begin(program.process.pid)
    program.does("briefly", 100)
    assert 200 < peak_mib(meter) < 290, "four processes hold the first half"


def test_a_process_that_has_ended_measures_what_was_sampled(program: Program) -> None:
    meter = PeakMemory()
    meter.begin(program.process.pid)
    program.process.kill()
    program.process.wait()
    assert meter.end() == {}
    assert meter.end() == {}
