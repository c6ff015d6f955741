"""A `run` on a terminal that ends in any of its phases: the word for its study, what is left, and how it goes on."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fleet import STEADY, Fleet, Process, command_line, descendants, wait_for, with_environment

PHASES = {
    "begins": "starting the workers",
    "prepares": "preparing the database",
    "imports": "importing objective",
    "waits": "waiting for the first trial",
    "trains": "epochs",
}
"""What a run says when it comes to a phase."""

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SOME = {("begins", signal.SIGINT), ("imports", signal.SIGHUP), ("trains", signal.SIGTERM), ("waits", signal.SIGKILL)}
"""The ends that every run of the tests tries; the long ones try all."""

ENDS = [
    pytest.param(phase, signum, id=f"{phase}-{signum.name}", marks=[] if (phase, signum) in SOME else pytest.mark.long)
    for phase in PHASES
    for signum in (*INTERRUPTS, signal.SIGKILL)
]


class Terminal:
    """A command on a terminal of its own, which it controls."""

    def __init__(self, it: Fleet, *arguments: str) -> None:
        self.text = ""
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self._theirs = theirs
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", *arguments],
            env=it.environment() | {"TERM": "xterm"},
            cwd=it.folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )

    def read(self) -> str:
        while select.select([self._ours], [], [], 0)[0]:
            self.text += os.read(self._ours, 65_536).decode(errors="replace")
        return self.text

    def says(self, text: str) -> None:
        wait_for(lambda: text in self.read() or self.popen.poll() is not None, f"'{text}'")
        assert text in self.read(), self.text

    def ends(self) -> int:
        wait_for(lambda: self.read() is not None and self.popen.poll() is not None, "its end")
        self.read()
        return self.popen.returncode

    def check_given_back(self) -> None:
        """The cursor is seen, the line is at its beginning, and the terminal's modes are as they were."""
        assert termios.tcgetattr(self._theirs) == self.before
        assert self.text.rfind("\x1b[?25l") <= self.text.rfind("\x1b[?25h"), self.text[-500:]
        assert self.text.endswith("\n"), self.text[-200:]

    def close(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()
        os.close(self._ours)
        os.close(self._theirs)


@contextmanager
def terminal(it: Fleet, *arguments: str) -> Iterator[Terminal]:
    found = Terminal(it, *arguments)
    try:
        yield found
    finally:
        found.close()


def write(it: Fleet, name: str, trials: int = 2000) -> str:
    return str(it.write_spec(STEADY.format(name=name, trials=trials), f"{name}.toml"))


def word(it: Fleet, name: str) -> str:
    done = it.call("ls")
    found = re.search(rf"^ *{name} +(\w+)", done.stdout, re.MULTILINE)
    return found[1] if found is not None else done.stdout + done.stderr


def is_left_alone(it: Fleet) -> None:
    wait_for(lambda: not with_environment("ORCHESTRATOR_DATA_DIR", str(it.folder / "data")), "no process is left")


def begin(it: Fleet, name: str) -> Process:
    run = it.start("run", write(it, name), "--slots", "1")
    wait_for(lambda: "trial 1 COMPLETE" in run.log.read_text() or run.popen.poll() is not None, "its trials")
    return run


def goes_on(it: Fleet, name: str) -> None:
    write(it, name, 8)
    done = it.call("run", str(it.folder / f"{name}.toml"), "--slots", "1")
    assert done.returncode == 0, done.stderr
    assert "result         finished" in done.stdout + done.stderr
    assert word(it, name) == "finished"


def check_end(it: Fleet, run: Terminal, name: str, signum: int) -> None:
    run.popen.send_signal(signum)
    code = run.ends()
    is_left_alone(it)
    if signum == signal.SIGKILL:
        assert (code, word(it, name)) == (-signal.SIGKILL, "unattended"), run.text[-2000:]
    else:
        assert (code, word(it, name)) == (130, "interrupted"), run.text[-2000:]
        said = re.sub(r"\s+", " ", run.text)
        assert said.count(f"the same command goes on from here, and so does 'orchestrator resume {name}'") == 1
        run.check_given_back()


@pytest.mark.parametrize(("phase", "signum"), ENDS)
def test_a_run_that_goes_on_after_a_kill(alone: Fleet, phase: str, signum: signal.Signals) -> None:
    begin(alone, "one").kill()
    with terminal(alone, "run", write(alone, "one"), "--slots", "1") as run:
        run.says(PHASES[phase])
        check_end(alone, run, "one", signum)
    goes_on(alone, "one")


@pytest.mark.parametrize(("phase", "signum"), ENDS)
@pytest.mark.parametrize("first_by", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_a_run_that_takes_over(alone: Fleet, phase: str, signum: signal.Signals, first_by: signal.Signals) -> None:
    first = begin(alone, "one")
    with terminal(alone, "run", write(alone, "two"), "--slots", "1") as run:
        run.says("trains 'two' on its slots, too")
        wait_for(lambda: word(alone, "two") == "running", "its trials")
        first.popen.send_signal(first_by)
        run.says("going on with 'two' here")
        at = len(run.text)
        wait_for(lambda: PHASES[phase] in run.read()[at:] or run.popen.poll() is not None, phase)
        check_end(alone, run, "two", signum)
    goes_on(alone, "two")


@pytest.mark.parametrize("signum", INTERRUPTS)
@pytest.mark.long
def test_a_run_whose_study_another_one_trains(alone: Fleet, signum: signal.Signals) -> None:
    first = begin(alone, "one")
    with terminal(alone, "run", write(alone, "two"), "--slots", "1") as run:
        run.says("epochs")
        run.popen.send_signal(signum)
        assert run.ends() == 130
        assert (word(alone, "one"), word(alone, "two")) == ("running", "interrupted")
        run.check_given_back()
    assert first.stop(signal.SIGINT) == 130
    goes_on(alone, "two")


CHILDREN = {"worker": "tasks.worker", "control plane": "orchestrator run", "server": "valkey-server"}


@pytest.mark.parametrize("child", ["control plane", *(pytest.param(each, marks=pytest.mark.long) for each in CHILDREN)])
def test_a_run_one_of_whose_processes_is_killed(alone: Fleet, child: str) -> None:
    with terminal(alone, "run", write(alone, "one"), "--slots", "1") as run:
        run.says("epochs")
        below = {pid: command_line(pid) for pid in descendants(run.popen.pid)}
        os.kill(next(pid for pid, command in below.items() if CHILDREN[child] in command), signal.SIGKILL)
        assert run.ends() == 1
        is_left_alone(alone)
        assert word(alone, "one") == "interrupted"
        run.check_given_back()
    goes_on(alone, "one")
